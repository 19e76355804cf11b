//! What became of the output, so far or in the end.

use super::failure::LogFailure;
use crate::support::cause::Cause;

/// What became of the output so far, or in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes written to the log after the header.
    pub log_bytes: u64,
    /// The last of them is a newline that the command did not print.
    pub newline_added: bool,
    /// The first failure of the log.
    pub log_failure: Option<LogFailure>,
    /// Bytes that could not be written to the log.
    pub log_missed: u64,
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
