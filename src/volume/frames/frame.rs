//! One attempt as it stands in a log.

use std::ops::Range;

use crate::volume::record::{Ended, Started};

/// One attempt in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What its header says.
    pub started: Started,
    /// What its last footer says; an attempt that was killed has none.
    pub ended: Option<Ended>,
    /// Where its header begins.
    pub start: u64,
    /// The command's bytes.
    pub output: Range<u64>,
    /// Where its last footer ends; for an attempt without one, as `end`.
    pub closed: u64,
    /// Where the next attempt begins, or the file ends: what others appended after the footer goes with it.
    pub end: u64,
}

impl Frame {
    /// The command's bytes alone, without the newline that was put before the footer.
    pub fn command_output(&self) -> Range<u64> {
        let added = self.ended.as_ref().is_some_and(|ended| ended.newline_added && ended.output > 0);
        self.output.start..self.output.end - u64::from(added)
    }
}
