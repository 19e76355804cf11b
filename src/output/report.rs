//! What became of the output, so far or in the end.

use super::failure::{Cause, LogFailure};

/// What became of the output so far, or in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes written to the log by this attempt, the header (if the tee wrote it) and the footer included.
    pub log_bytes: u64,
    /// The log does not end in a newline; what is framed next will be put on a line of its own.
    pub mid_line: bool,
    /// The first failure of the log.
    pub log_failure: Option<LogFailure>,
    /// Bytes that could not be written to the log.
    pub log_missed: u64,
    /// Why the rest of the log's volume may not be durable.
    pub volume_failure: Option<LogFailure>,
    /// What the runner says next on stderr has to begin with a newline.
    pub stderr_mid_line: bool,
    /// Why stdout was given up, if it was.
    pub stdout_failure: Option<String>,
    /// Bytes that stdout did not take.
    pub stdout_missed: u64,
}

impl Report {
    /// The cause of a failed log, for the summary.
    pub fn log_cause(&self) -> Option<Cause> {
        self.log_failure.as_ref().map(|failure| failure.cause)
    }
}
