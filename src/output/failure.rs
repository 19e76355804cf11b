//! The failure of the preserved log.

use std::fmt;
use std::io;

use crate::support::cause::{Cause, words};

/// The first failure of the preserved log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFailure {
    /// The cause, for the summary.
    pub cause: Cause,
    /// The system call that failed, or that hangs.
    pub operation: &'static str,
    /// The size of the file at that moment: bytes written before.
    pub at: u64,
    /// The system's answer in words.
    pub message: String,
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {} ({})", self.operation, self.at, self.message, self.cause)
    }
}

impl LogFailure {
    pub(super) fn new(operation: &'static str, at: u64, error: &io::Error) -> Self {
        Self { cause: Cause::of(error), operation, at, message: words(error) }
    }

    /// Part of the file up to `at` is gone.
    pub(super) fn truncated(at: u64) -> Self {
        let message = "it was truncated or overwritten while the hook ran".into();
        Self { cause: Cause::Removed, operation: "write", at, message }
    }
}
