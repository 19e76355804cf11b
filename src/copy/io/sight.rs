//! Identifies one state of a file or directory, to see later whether it has changed.

use rustix::fs::Stat;

use crate::copy::io::transfer;
use crate::copy::manifest::Time;

/// Equal device, inode, size, mtime and ctime mean unchanged, content and status alike: users cannot set ctime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    mtime: Time,
    ctime: Time,
}

impl Sight {
    /// As equality, but ignores ctime, which a copy's own links and renames change.
    pub(crate) fn is_unwritten_since(&self, earlier: &Self) -> bool {
        Self { ctime: earlier.ctime, ..*self } == *earlier
    }
}

impl From<&Stat> for Sight {
    fn from(stat: &Stat) -> Self {
        let nanoseconds = |nsec| u32::try_from(nsec).unwrap_or(0);
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: transfer::size(stat),
            mtime: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
            ctime: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
        }
    }
}
