//! Why a preserved log cannot be read back.

use std::io;
use std::path::PathBuf;

use crate::volume::VolumeError;

/// Why a preserved log cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A file of the volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// There is nothing at that path.
    #[error("there is nothing at {}; give a preserved log, or the directory that holds one", path.display())]
    Missing {
        /// As given.
        path: PathBuf,
    },
    /// What is there is no log of ours, and none has been.
    #[error("there is no run in {}; give a log that a hook was run with, or its directory", path.display())]
    Empty {
        /// As given.
        path: PathBuf,
    },
    /// No run has this id.
    #[error("no run's id begins with '{id}'; `hook-runner history` lists them")]
    UnknownRun {
        /// As asked.
        id: String,
    },
    /// Several runs' ids begin so.
    #[error("the ids of {} runs begin with '{id}': {}; give more of it", runs.len(), runs.join(", "))]
    AmbiguousRun {
        /// As asked.
        id: String,
        /// The ids.
        runs: Vec<String>,
    },
    /// The run has no such attempt.
    #[error("run {run} has no attempt {attempt}; `hook-runner history` lists them")]
    UnknownAttempt {
        /// The run.
        run: String,
        /// As asked.
        attempt: u32,
    },
    /// What is read cannot be printed.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}
