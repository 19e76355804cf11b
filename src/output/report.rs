//! What became of the output, so far or in the end.

use std::ops::Range;

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
    /// What `--max-log` has left out.
    pub left_out: Option<LeftOut>,
    /// Where in it the runner's own lines stand.
    pub own: Vec<Range<u64>>,
    /// What the runner says next on stderr has to begin with a newline.
    pub stderr_mid_line: bool,
    /// Why stdout was given up, if it was.
    pub stdout_failure: Option<String>,
    /// Bytes that stdout and stderr did not take.
    pub missed: u64,
}

/// A part of the output that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// Bytes of output before it.
    pub at: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of the line that stands in its place.
    pub marker: u64,
}

impl LeftOut {
    /// Where in the log stands what `place` bytes of output came before.
    pub(super) fn in_log(self, place: u64) -> u64 {
        match place {
            _ if place <= self.at => place,
            _ => self.at + self.marker + (place - self.at).saturating_sub(self.bytes),
        }
    }
}

impl Report {
    /// Where in the log's output stands what `place` bytes of output came before.
    pub fn in_log(&self, place: u64) -> u64 {
        self.left_out.map_or(place, |left_out| left_out.in_log(place))
    }

    /// The cause of a failed log, for the summary.
    pub fn log_cause(&self) -> Option<Cause> {
        self.log_failure.as_ref().map(|failure| failure.cause)
    }
}
