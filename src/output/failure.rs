//! What can go wrong with the preserved log, in the words of the exit-status table.

use std::fmt;
use std::io;

use nix::libc;

/// Why the log failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// ENOSPC, EDQUOT.
    NoSpace,
    /// EROFS.
    ReadOnly,
    /// ESTALE: the NFS server no longer knows the file.
    Stale,
    /// The volume does not answer.
    Hung,
    /// Another process truncated or overwrote the log.
    Removed,
    /// Anything else (EIO).
    Io,
}

impl Cause {
    /// From the answer of write(2), fsync(2) or close(2).
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::NoSpace,
            Some(libc::EROFS) => Self::ReadOnly,
            Some(libc::ESTALE) => Self::Stale,
            _ => Self::Io,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "no-space",
            Self::ReadOnly => "read-only",
            Self::Stale => "stale",
            Self::Hung => "hung",
            Self::Removed => "log-removed",
            Self::Io => "io",
        })
    }
}

/// The first failure of the preserved log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFailure {
    /// Why, for the summary.
    pub cause: Cause,
    /// The system call that failed, or that hangs.
    pub operation: &'static str,
    /// Bytes of the file that were written before (its size then).
    pub at: u64,
    /// The system's words.
    pub message: String,
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {} ({})", self.operation, self.at, self.message, self.cause)
    }
}

impl LogFailure {
    pub(super) fn new(operation: &'static str, at: u64, error: &io::Error) -> Self {
        Self { cause: Cause::of(error), operation, at, message: error.to_string() }
    }

    /// What was in the file up to `at` is no longer all there.
    pub(super) fn truncated(at: u64) -> Self {
        let message = "it was truncated or overwritten while the hook ran".into();
        Self { cause: Cause::Removed, operation: "write", at, message }
    }
}
