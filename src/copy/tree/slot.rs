//! A directory handle that can be closed and reopened, and must then be the same directory.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::support::mutex;

#[derive(Debug, Default)]
pub(crate) struct Slot {
    open: Mutex<Option<Arc<OwnedFd>>>,
    identity: OnceLock<(u64, u64)>,
}

/// The number of open handles in all slots.
static OPEN: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn open_handles() -> usize {
    OPEN.load(Ordering::Relaxed)
}

impl Slot {
    pub(crate) fn set(&self, fd: OwnedFd, stat: &Stat) -> io::Result<Arc<OwnedFd>> {
        let identity = (stat.st_dev, stat.st_ino);
        if *self.identity.get_or_init(|| identity) != identity {
            return Err(Errno::STALE.into());
        }
        let fd = Arc::new(fd);
        let mut open = mutex::lock(&self.open);
        if open.replace(fd.clone()).is_none() {
            OPEN.fetch_add(1, Ordering::Relaxed);
        }
        Ok(fd)
    }

    pub(crate) fn get(&self) -> Option<Arc<OwnedFd>> {
        mutex::lock(&self.open).clone()
    }

    pub(crate) fn is_known(&self) -> bool {
        self.identity.get().is_some()
    }

    pub(crate) fn is(&self, stat: &Stat) -> bool {
        self.identity.get() == Some(&(stat.st_dev, stat.st_ino))
    }

    pub(crate) fn close(&self) {
        if mutex::lock(&self.open).take().is_some() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.close();
    }
}
