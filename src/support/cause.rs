//! Why a call on a volume failed: one word for programs, the system's words for people.

use std::fmt;
use std::io;

use super::os;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// ENOSPC, EDQUOT.
    NoSpace,
    /// EROFS.
    ReadOnly,
    /// ESTALE: the NFS server no longer knows the file.
    Stale,
    /// The volume does not answer.
    Hung,
    /// Another process removed, truncated or overwrote the log.
    Removed,
    /// Anything else (EIO).
    Io,
}

impl Cause {
    /// The cause behind a system call's error.
    pub fn of(error: &io::Error) -> Self {
        // Only the system's own answers: a kind without a number is a sentence of ours.
        match error.raw_os_error().map(|_| error.kind()) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::NoSpace,
            Some(io::ErrorKind::ReadOnlyFilesystem) => Self::ReadOnly,
            Some(io::ErrorKind::StaleNetworkFileHandle) => Self::Stale,
            _ => Self::Io,
        }
    }

    /// The word in the summary.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoSpace => "no-space",
            Self::ReadOnly => "read-only",
            Self::Stale => "stale",
            Self::Hung => "hung",
            Self::Removed => "log-removed",
            Self::Io => "io",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The system's words for an error: "No space left on device". The standard library would append "(os error 28)", and
/// its words for other errors are written for programmers.
pub fn words(error: &io::Error) -> String {
    if let Some(number) = error.raw_os_error() {
        return os::description(number).unwrap_or_else(|| format!("the system's error {number}"));
    }
    let words = match error.kind() {
        // An error that we made ourselves already holds a sentence.
        _ if error.get_ref().is_some() => return error.to_string(),
        io::ErrorKind::NotFound => "it does not exist",
        io::ErrorKind::AlreadyExists => "it exists",
        io::ErrorKind::PermissionDenied => "it is not permitted",
        io::ErrorKind::UnexpectedEof => "it ended too early",
        io::ErrorKind::WriteZero => "no more can be written",
        io::ErrorKind::TimedOut => "it took too long",
        io::ErrorKind::InvalidData => "it holds what it should not",
        io::ErrorKind::InvalidInput => "the name cannot be used",
        _ => "it failed, and the system does not say why",
    };
    words.to_owned()
}
