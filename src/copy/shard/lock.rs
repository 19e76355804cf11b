//! The lock between the copiers that share a tree.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, OFlags};

use crate::support::rooted_dir::Dir;

/// Waits for the lock of the copiers of one manifest. Closing the file releases it.
pub(crate) fn take(journal: &Dir, manifest: &OsStr) -> io::Result<File> {
    let mut name = manifest.to_owned();
    name.push(".merge");
    let lock = journal.open_for_group(&name, OFlags::RDWR)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}
