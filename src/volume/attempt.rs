//! One attempt of a history, and where its bytes are.

use std::ffi::OsString;

use super::frames::Frame;
use super::record::{Ended, Started};

/// The file that holds an attempt's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFile {
    /// The log itself.
    Current,
    /// An archived log of this name.
    Archived(OsString),
    /// An archived log in version 0.1's directory.
    Old(OsString),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The record of its start.
    pub started: Started,
    /// The record of its end; `None` if it was killed.
    pub ended: Option<Ended>,
    /// Where its bytes are; `None` if they are not kept.
    pub bytes: Option<(LogFile, Frame)>,
}
