//! An error about one of the runner's own files: operation, path and the system's answer.

use std::io;
use std::path::{Path, PathBuf};

use crate::support::cause::words;

#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {}", path.display(), words(source))]
pub struct VolumeError {
    /// The operation, as a verb with its preposition: "open", "write to".
    pub operation: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl VolumeError {
    /// Whether there is no file or directory of the runner's own: nothing at all, or a file or link in a directory's
    /// place. Any other errno says nothing of what is there.
    pub fn is_absence(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }

    /// For `map_err`: adds operation and path.
    pub fn at(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self { operation, path, source }
    }
}
