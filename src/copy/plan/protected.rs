//! The runner's own files in a destination: the preserved log, state directories, other destinations inside it.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use crate::copy::io::path::join;
use crate::copy::request::Request;
use crate::copy::state::State;
use crate::support::own;
use crate::support::rooted_dir::Dir;

/// The runner's own files in the destination.
#[derive(Debug, Default)]
pub(crate) struct Protected {
    inodes: Vec<(u64, u64)>,
    /// Paths relative to the destination. The files need not exist yet.
    paths: Vec<Vec<u8>>,
}

impl Protected {
    pub(crate) fn of(request: &Request, destination: &Path, state: Option<&State>) -> Self {
        let named = request.protect.iter().filter_map(|path| rustix::fs::lstat(path).ok());
        let state = state.and_then(|state| state.root.stat().ok());
        let inodes = named.chain(state).map(|stat| (stat.st_dev, stat.st_ino)).collect();
        let Ok(root) = destination.canonicalize() else { return Self { inodes, paths: Vec::new() } };
        let below = |path: &PathBuf| {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let real = parent.canonicalize().ok()?.join(path.file_name()?);
            Some(real.strip_prefix(&root).ok()?.as_os_str().as_bytes().to_vec())
        };
        Self { inodes, paths: request.protect.iter().filter_map(below).collect() }
    }

    pub(crate) fn is_inode(&self, stat: &Stat) -> bool {
        self.inodes.contains(&(stat.st_dev, stat.st_ino))
    }

    /// Whether an entry of a directory is one of these paths.
    pub(crate) fn is_below(&self, dir: &[u8], name: &[u8]) -> bool {
        !self.paths.is_empty() && self.is_path(&join(dir, name))
    }

    /// Whether an entry that a copy would replace is or contains a preserved log or a state directory of any run.
    ///
    /// # Errors
    /// What the volume answers.
    pub(crate) fn is_own(made: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<bool> {
        let dir = Dir::from_fd(rustix::io::fcntl_dupfd_cloexec(made, 0)?);
        own::is_own(&dir, OsStr::from_bytes(name.to_bytes()), FileType::from_raw_mode(stat.st_mode))
    }

    pub(crate) fn is_path(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|own| own == path)
    }
}
