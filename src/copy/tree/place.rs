//! Keeps a destination open after its copy, to see whether it is moved away. Reads only.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::support::rooted_dir::Dir;

/// The directory that was copied into, and its path.
#[derive(Debug)]
pub struct Place {
    dir: Dir,
    path: PathBuf,
}

impl Place {
    pub(crate) fn of(dir: &Dir, path: &Path) -> io::Result<Self> {
        // A relative path would change with the working directory.
        Ok(Self { dir: dir.reopen()?, path: std::path::absolute(path)? })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to the directory. A directory that was removed or emptied exists nowhere else: that
    /// is the same as removing its content, and counts as kept.
    pub(crate) fn is_kept(&self) -> io::Result<bool> {
        Ok(leads_to(&self.path, &self.dir)? || self.is_empty()?)
    }

    fn is_empty(&self) -> io::Result<bool> {
        match self.dir.entries() {
            Ok(entries) => Ok(entries.is_empty()),
            // Removed by this machine, or by another one.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::STALE)) => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether `path` leads to `dir`.
pub(crate) fn leads_to(path: &Path, dir: &Dir) -> io::Result<bool> {
    match rustix::fs::stat(path) {
        Ok(found) => {
            // A directory that another machine removed has no status.
            let wanted = dir.stat();
            Ok(wanted.is_ok_and(|wanted| (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)))
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
