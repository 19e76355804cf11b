//! What the space estimate has seen of the source, kept for the copy that follows it: names and status, so that neither
//! is asked for twice. Up to a limit of memory; what is beyond, or has changed since, is looked at anew.

use std::collections::HashMap;
use std::sync::Mutex;

use rustix::fs::Stat;

use crate::copy::io::listing::Listing;
use crate::copy::io::transfer;
use crate::copy::manifest::Time;
use crate::support::mutex;

/// Entries that are kept at most: 6 MiB with names of twenty bytes.
const ENTRIES: usize = 1 << 16;

/// One look at a file or directory of the source. Where the next look sees the same, it is the same, and neither its
/// content nor its status has changed meanwhile: ctime is set by the kernel alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::copy) struct Sight {
    device: u64,
    inode: u64,
    pub(in crate::copy) size: u64,
    mtime: Time,
    ctime: Time,
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

/// Directories by their path.
#[derive(Debug, Default)]
pub(in crate::copy) struct Seen {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    directories: HashMap<Vec<u8>, Directory>,
    entries: usize,
}

/// One directory of the source.
#[derive(Debug)]
pub(in crate::copy) struct Directory {
    itself: Sight,
    pub(in crate::copy) listing: Listing,
    /// For each name what was seen of it, where it is a file that needs no more than to be read.
    pub(in crate::copy) files: Vec<Option<Sight>>,
}

impl Seen {
    /// Keeps what was seen, unless there is too much of it.
    pub(in crate::copy) fn keep(
        &self,
        path: &[u8],
        itself: Sight,
        listing: &Listing,
        files: &[Option<Sight>],
    ) {
        let mut kept = mutex::lock(&self.kept);
        if kept.entries + files.len() > ENTRIES {
            return;
        }
        kept.entries += files.len();
        let directory = Directory { itself, listing: listing.clone(), files: files.to_vec() };
        kept.directories.insert(path.to_vec(), directory);
    }

    /// What was seen of a directory that looks like `now`; `None` where it did not look like that then.
    pub(in crate::copy) fn take(&self, path: &[u8], now: Sight) -> Option<Directory> {
        let mut kept = mutex::lock(&self.kept);
        let directory = kept.directories.remove(path)?;
        kept.entries -= directory.files.len();
        (directory.itself == now).then_some(directory)
    }
}
