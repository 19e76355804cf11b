//! One attempt in a log.

use std::ops::Range;

use crate::volume::record::{Ended, Started};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The record in its header.
    pub started: Started,
    /// The record in its last footer; `None` for an attempt that was killed.
    pub ended: Option<Ended>,
    /// Where its header begins.
    pub start: u64,
    /// The range of the command's output.
    pub output: Range<u64>,
    /// Where its last footer ends; without one, as `end`.
    pub closed: u64,
    /// Where the next attempt begins or the file ends. Includes what others appended after the footer.
    pub end: u64,
}

impl Frame {
    /// The output without the newline that was added before the footer.
    pub fn command_output(&self) -> Range<u64> {
        let added = self.ended.as_ref().is_some_and(|ended| ended.newline_added && ended.output > 0);
        self.output.start..self.output.end - u64::from(added)
    }
}
