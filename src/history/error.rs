//! Why a preserved log cannot be read back: a sentence each, with what to do.

use std::io;
use std::path::{Display, Path, PathBuf};

use crate::support::cause::words;
use crate::support::harmless::harmless;
use crate::volume::VolumeError;

/// Why a preserved log cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A file on the volume cannot be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// No run was found.
    #[error("there is no run in {}; give the log that a hook was run with, or its directory", path.display())]
    Empty {
        /// Where runs were looked for.
        path: PathBuf,
    },
    /// The path does not exist.
    #[error("there is nothing at {}; give the log that a hook was run with, or its directory", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A file without any frame.
    #[error("{} is no log of hook-runner; give one, or the directory of one", or_stdin(path))]
    NoLog {
        /// The file.
        path: PathBuf,
    },
    /// No run has this id.
    #[error("no run's id begins with '{}'; `hook-runner history` lists them", harmless(id))]
    UnknownRun { id: String },
    /// Several ids begin with this text.
    #[error("'{}' is the beginning of {} runs' ids; give more of one: {}", harmless(id), runs.len(), runs.join(", "))]
    Ambiguous {
        id: String,
        /// The runs.
        runs: Vec<String>,
    },
    /// The run has no such attempt.
    #[error("run {} has no attempt {attempt}; `hook-runner history` lists them", harmless(run))]
    UnknownAttempt {
        /// The run.
        run: String,
        attempt: u32,
    },
    /// The attempt has no such step.
    #[error(
        "attempt {attempt} of run {} has no output of a step {step}; steps are counted from 1, and known when the attempt has ended",
        harmless(run)
    )]
    UnknownStep {
        /// The run.
        run: String,
        /// The attempt.
        attempt: u32,
        step: usize,
    },
    /// Retention removed the log.
    #[error(
        "the log of attempt {attempt} of run {} is no longer kept: retention removed it (see --keep, --keep-bytes and --keep-days of the hook), the command did, or it could not be written; history names the cause of a failure",
        harmless(run)
    )]
    NotKept {
        /// The run.
        run: String,
        attempt: u32,
    },
    /// A log that may have it cannot be read; which one has been said.
    #[error(
        "the output of attempt {attempt} of run {} is in none of the logs that can be read; those that cannot be are named above, and another user, such as the hook's, may be able to read them",
        harmless(run)
    )]
    Unread {
        /// The run.
        run: String,
        attempt: u32,
    },
    /// No changes of the run are kept.
    #[error("it is not known what run {} changed: the list of its changes is no longer kept", harmless(run))]
    NoChanges {
        /// The run.
        run: String,
    },
    /// The second run did not follow the first in the same log.
    #[error(
        "run {} did not begin after run {} in the same log; give the earlier one first",
        harmless(later),
        harmless(earlier)
    )]
    NoOrder { earlier: String, later: String },
    /// The output cannot be written.
    #[error("cannot print: {}", words(.0))]
    Print(#[from] io::Error),
}

fn or_stdin(path: &Path) -> Display<'_> {
    if path == Path::new("-") { Path::new("standard input") } else { path }.display()
}
