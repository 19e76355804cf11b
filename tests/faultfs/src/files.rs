//! What the kernel has open, by the handle it was given. Directories too.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fuser::FileHandle;
use rustix::fs::{FileType, Stat, fstat};

/// Open files and directories.
#[derive(Debug, Default)]
pub(crate) struct Files {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<OwnedFd>>>,
}

impl Files {
    pub(crate) fn add(&self, file: OwnedFd) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::new(file));
        FileHandle(number)
    }

    pub(crate) fn get(&self, fh: FileHandle) -> io::Result<Arc<OwnedFd>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&fh.0).cloned().ok_or(io::Error::from_raw_os_error(libc::EBADF))
    }

    /// Whether a regular file is open.
    pub(crate) fn holds(&self, wanted: &Stat) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        FileType::from_raw_mode(wanted.st_mode) == FileType::RegularFile
            && open
                .values()
                .filter_map(|file| fstat(&**file).ok())
                .any(|stat| (stat.st_dev, stat.st_ino) == (wanted.st_dev, wanted.st_ino))
    }

    pub(crate) fn remove(&self, fh: FileHandle) {
        let file = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&fh.0);
        // Closed here, after the lock is let go: the last close of a deleted file may take long.
        drop(file);
    }
}

/// A path that leads to what `fd` has open, for calls that take paths only.
pub(crate) fn proc_path(fd: impl AsFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}
