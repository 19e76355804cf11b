//! The files on the volume: the preserved log with its frames, the index of attempts, the logs of earlier
//! runs, the lock. Written by `hook`, read by `history`. Every name is reached through [`crate::support::rooted_dir`]; nothing
//! here knows what a step is.

pub mod archive;
pub mod followed;
pub mod frame;
pub mod index;
pub mod lock;
mod paths;

pub use paths::Volume;

use std::io;
use std::path::{Path, PathBuf};

/// Name of the state directory, beside the log.
pub const STATE_DIRECTORY: &str = ".hook-runner";
/// Name of the preserved log, where none is given.
pub use crate::support::LOG_NAME;

/// A file of the runner's own that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct VolumeError {
    /// What was tried, as a verb with its object's preposition: "open", "write to".
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl VolumeError {
    /// For `map_err`: names operation and path.
    pub fn at(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self { operation, path, source }
    }
}
