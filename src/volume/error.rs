//! A file on the volume that cannot be used: what was tried, on which path, and what the system said.

use std::io;
use std::path::{Path, PathBuf};

use crate::support::cause::words;
use crate::support::rooted_dir::is_in_the_way;

/// A file of the runner's own that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {}", path.display(), words(source))]
pub struct VolumeError {
    /// What was tried, as a verb with its object's preposition: "open", "write to".
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl VolumeError {
    /// Nothing of the runner's own is there: nothing at all, or what is no file or directory of its own.
    pub fn is_absence(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound || is_in_the_way(&self.source)
    }

    /// For `map_err`: names operation and path.
    pub fn at(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self { operation, path, source }
    }
}
