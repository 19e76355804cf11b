//! Keeps the names and status that the space estimate saw, so that the copy need not ask again. Memory is bounded: what
//! does not fit, or has changed since, is looked at again.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::copy::io::listing::Listing;
use crate::copy::io::sight::Sight;
use crate::support::mutex;

/// Maximum number of entries: 6 MiB with names of twenty bytes.
const ENTRIES: usize = 1 << 16;

/// Directories by path.
#[derive(Debug, Default)]
pub(crate) struct StatCache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    directories: HashMap<Vec<u8>, Directory>,
    entries: usize,
}

/// One directory of the source.
#[derive(Debug)]
pub(crate) struct Directory {
    itself: Sight,
    pub(crate) listing: Listing,
    /// For each name: its status, if it is a file that only has to be read.
    pub(crate) files: Vec<Option<Sight>>,
}

impl StatCache {
    /// Keeps what was seen, as long as there is room.
    pub(crate) fn keep(&self, path: &[u8], itself: Sight, listing: &Listing, files: &[Option<Sight>]) {
        let mut kept = mutex::lock(&self.kept);
        if kept.entries + files.len() > ENTRIES {
            return;
        }
        kept.entries += files.len();
        let directory = Directory { itself, listing: listing.clone(), files: files.to_vec() };
        kept.directories.insert(path.to_vec(), directory);
    }

    /// What was seen of a directory, if it has not changed since.
    pub(crate) fn take(&self, path: &[u8], now: Sight) -> Option<Directory> {
        let mut kept = mutex::lock(&self.kept);
        let directory = kept.directories.remove(path)?;
        kept.entries -= directory.files.len();
        (directory.itself == now).then_some(directory)
    }
}
