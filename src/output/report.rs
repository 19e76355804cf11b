//! The state of the output, during the attempt or at its end.

use std::ops::Range;

use super::failure::LogFailure;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes written to the log after the header.
    pub log_bytes: u64,
    /// The last byte is a newline that the command did not print.
    pub newline_added: bool,
    /// The first failure of the log.
    pub log_failure: Option<LogFailure>,
    /// Bytes that could not be written to the log.
    pub log_missed: u64,
    /// What `--max-log` left out.
    pub left_out: Option<LeftOut>,
    /// The ranges of the runner's own lines.
    pub own: Vec<Range<u64>>,
    /// The next message on stderr must begin with a newline.
    pub stderr_mid_line: bool,
    /// Why stdout was given up, if it was.
    pub stdout_failure: Option<String>,
    /// Bytes that stdout and stderr did not accept.
    pub missed: u64,
}

/// A part of the output that was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// Bytes of output before it.
    pub at: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// The length in bytes of the line that replaces it.
    pub marker: u64,
}

impl LeftOut {
    /// The position in the log's output that `place` bytes of output precede.
    pub(super) fn in_log(self, place: u64) -> u64 {
        match place {
            _ if place <= self.at => place,
            _ => self.at + self.marker + (place - self.at).saturating_sub(self.bytes),
        }
    }
}

impl Report {
    /// The position in the log's output that `place` bytes of output precede.
    pub fn in_log(&self, place: u64) -> u64 {
        self.left_out.map_or(place, |left_out| left_out.in_log(place))
    }
}
