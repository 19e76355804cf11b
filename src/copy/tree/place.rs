//! A destination held open beyond its copy, so that what moves it away is seen. Reads only.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::support::rooted_dir::Dir;

/// The directory that was copied into, and the path that led to it.
#[derive(Debug)]
pub struct Place {
    dir: Dir,
    path: PathBuf,
}

impl Place {
    pub(crate) fn of(dir: &Dir, path: &Path) -> io::Result<Self> {
        // A relative path would follow a working directory that is moved.
        Ok(Self { dir: dir.reopen()?, path: std::path::absolute(path)? })
    }

    /// The path that led to it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path leads to it still. One that was removed or emptied is nowhere else: that is as good as removing what
    /// is in it.
    pub(crate) fn is_kept(&self) -> io::Result<bool> {
        Ok(leads_to(&self.path, &self.dir)? || self.is_empty()?)
    }

    fn is_empty(&self) -> io::Result<bool> {
        match self.dir.entries() {
            Ok(entries) => Ok(entries.is_empty()),
            // Of one that was removed: by this machine, or by another one.
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
            // Of one that another machine removed there is no status.
            let wanted = dir.stat();
            Ok(wanted.is_ok_and(|wanted| (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)))
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
