//! Why a call on a volume failed, as one word for programs and as the system's words for people.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// Why a call on a volume failed.
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
    /// From the answer of a system call.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => Self::NoSpace,
            Some(Errno::EROFS) => Self::ReadOnly,
            Some(Errno::ESTALE) => Self::Stale,
            _ => Self::Io,
        }
    }

    /// The word of the summary.
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

/// What the system said: "No space left on device".
pub fn words(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) if errno != Errno::UnknownErrno => errno.desc().to_owned(),
        _ => error.to_string(),
    }
}
