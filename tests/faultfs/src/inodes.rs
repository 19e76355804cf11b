//! The inodes the kernel knows, by the number it was told, and how to reach each in the backing directory.
//!
//! An inode is kept as a file handle (`name_to_handle_at(2)`): it costs no descriptor, so a tree may be larger than
//! `RLIMIT_NOFILE`, and it survives renames. Opening by handle needs `CAP_DAC_READ_SEARCH`; without it, and on a backing
//! filesystem without handles, each inode holds an `O_PATH` descriptor instead.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, openat, statat};

/// The number FUSE gives the root (`FUSE_ROOT_ID`).
const ROOT: u64 = 1;

#[derive(Debug)]
pub(crate) struct Inodes {
    root: OwnedFd,
    by_handle: bool,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    nodes: HashMap<u64, Node>,
    numbers: HashMap<Vec<u8>, u64>,
}

#[derive(Debug)]
struct Node {
    key: Vec<u8>,
    pinned: Option<Arc<OwnedFd>>,
    lookups: u64,
}

/// An `O_PATH` descriptor of an inode, for one operation.
#[derive(Debug)]
pub(crate) enum Handle {
    Own(OwnedFd),
    Shared(Arc<OwnedFd>),
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Handle::Own(fd) => fd.as_fd(),
            Handle::Shared(fd) => fd.as_fd(),
        }
    }
}

impl Handle {
    /// A path that leads to exactly this inode, whatever its name, for calls that take paths only.
    pub(crate) fn proc_path(&self) -> String {
        format!("/proc/self/fd/{}", self.as_fd().as_raw_fd())
    }

    /// Where the inode is now, for rules restricted to a path.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        std::fs::read_link(self.proc_path()).ok()
    }
}

impl Inodes {
    /// The table for a backing directory, with only its root.
    pub(crate) fn new(root: OwnedFd) -> Inodes {
        let by_handle =
            file_handle(root.as_fd()).and_then(|handle| open_handle(root.as_fd(), &handle)).is_ok();
        Inodes { root, by_handle, table: Mutex::default() }
    }

    /// Reaches an inode by its number. ESTALE when it is gone.
    pub(crate) fn get(&self, number: u64) -> io::Result<Handle> {
        if number == ROOT {
            return Ok(Handle::Own(self.root.try_clone()?));
        }
        let key = {
            let table = self.lock();
            let node = table.nodes.get(&number).ok_or(io::Error::from_raw_os_error(libc::ESTALE))?;
            if let Some(fd) = &node.pinned {
                return Ok(Handle::Shared(Arc::clone(fd)));
            }
            node.key.clone()
        };
        open_handle(self.root.as_fd(), &key).map(Handle::Own)
    }

    /// Finds `name` in `parent` and counts one lookup; the kernel gives it back by [`Inodes::forget`].
    pub(crate) fn lookup(&self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<(u64, Stat)> {
        let fd = openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&fd)?;
        let key = if self.by_handle {
            file_handle(fd.as_fd())?
        } else {
            [stat.st_dev.to_ne_bytes(), stat.st_ino.to_ne_bytes()].concat()
        };
        let mut table = self.lock();
        if let Some(&number) = table.numbers.get(&key) {
            if let Some(node) = table.nodes.get_mut(&number) {
                node.lookups += 1;
            }
            return Ok((number, stat));
        }
        let number = table.free_number(stat.st_ino);
        let pinned = (!self.by_handle).then(|| Arc::new(fd));
        table.numbers.insert(key.clone(), number);
        table.nodes.insert(number, Node { key, pinned, lookups: 1 });
        Ok((number, stat))
    }

    /// Takes back lookups; at zero the kernel has forgotten the inode.
    pub(crate) fn forget(&self, number: u64, lookups: u64) {
        let mut table = self.lock();
        let Some(node) = table.nodes.get_mut(&number) else { return };
        node.lookups = node.lookups.saturating_sub(lookups);
        if node.lookups == 0
            && let Some(node) = table.nodes.remove(&number)
        {
            table.numbers.remove(&node.key);
        }
    }

    /// The attributes of an inode reached before.
    pub(crate) fn stat(handle: &Handle) -> io::Result<Stat> {
        Ok(statat(handle, "", AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The backing inode's own number, so that it stays the same from mount to mount; another when that is the root's or
    /// still belongs to a deleted inode the kernel has not forgotten.
    fn free_number(&self, wanted: u64) -> u64 {
        let mut number = wanted;
        let mut salt = 0;
        while number <= ROOT || self.nodes.contains_key(&number) {
            salt += 1;
            number = wanted ^ (salt << 48);
        }
        number
    }
}

/// `struct file_handle` with room for the largest one (`MAX_HANDLE_SZ`, 128 bytes).
#[repr(C)]
struct Buffer {
    header: libc::file_handle,
    bytes: [u8; 128],
}

impl Buffer {
    fn new() -> Buffer {
        // SAFETY: a plain C struct of integers; all zero is a value of it.
        let header: libc::file_handle = unsafe { std::mem::zeroed() };
        Buffer { header, bytes: [0; 128] }
    }
}

/// The handle of what `fd` refers to: its type, then its bytes.
fn file_handle(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut buffer = Buffer::new();
    buffer.header.handle_bytes = 128;
    let mut mount_id = 0;
    // SAFETY: `buffer` has the room its header says, the path is a C string, and both outlive the call.
    let status = unsafe {
        libc::name_to_handle_at(
            fd.as_raw_fd(),
            c"".as_ptr(),
            (&raw mut buffer).cast(),
            &raw mut mount_id,
            libc::AT_EMPTY_PATH,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    let len = buffer.header.handle_bytes as usize;
    Ok([&buffer.header.handle_type.to_ne_bytes()[..], &buffer.bytes[..len]].concat())
}

fn open_handle(mount: BorrowedFd<'_>, handle: &[u8]) -> io::Result<OwnedFd> {
    let (kind, bytes) = handle.split_at(4);
    let mut buffer = Buffer::new();
    buffer.header.handle_type = i32::from_ne_bytes([kind[0], kind[1], kind[2], kind[3]]);
    buffer.header.handle_bytes = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    buffer.bytes[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: `buffer` holds a whole handle as its header says and outlives the call.
    let fd = unsafe {
        libc::open_by_handle_at(
            mount.as_raw_fd(),
            (&raw mut buffer).cast(),
            libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so `fd` is a new descriptor nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
