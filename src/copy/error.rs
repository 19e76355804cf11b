//! Why a copy stopped: the operation, the path, the system's answer, and the class that decides the exit status. The
//! message with the next step is made elsewhere.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::Serialize;

use crate::copy::io::path::shown_path;
use crate::copy::lists::{Changes, EntryPath};
use crate::support::cause::words;
use crate::support::sizes::human_bytes;

/// The class of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The request cannot be carried out: a missing source, an unusable destination, a bad pattern.
    Config,
    /// No space, no inodes, or a quota reached.
    NoSpace,
    /// The volume is mounted read-only.
    ReadOnly,
    /// The file handle is stale: the volume went away or was replaced.
    Stale,
    /// Any other error of the system.
    Io,
    /// The caller cancelled.
    Cancelled,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "config",
            Self::NoSpace => "no-space",
            Self::ReadOnly => "read-only",
            Self::Stale => "stale",
            Self::Io => "io",
            Self::Cancelled => "cancelled",
        })
    }
}

/// How much had been copied. Some of it may not have got its final name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// Files copied.
    pub files: u64,
    /// Bytes copied.
    pub bytes: u64,
}

/// A copy that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Error {
    problem: Problem,
    pub reached: Reached,
    /// Something on the volume had been changed by then.
    pub begun: bool,
    /// The changes made before it stopped. Some may not have got their final name.
    pub changes: Box<Changes>,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("cannot {operation} {}: {}", shown_path(path), words(source))]
    System { operation: &'static str, path: PathBuf, source: io::Error, config: bool },
    #[error("{0}")]
    Request(String),
    #[error(
        "{what} of {} would be needed in {}, {} are available; --ignore-space tries all the same",
        amounts(*needed, *available, what).0, shown_path(path), amounts(*needed, *available, what).1
    )]
    Space { what: &'static str, path: PathBuf, needed: u64, available: u64 },
    #[error("{sentence}")]
    Torn { sentence: String, path: PathBuf },
    #[error("{0}")]
    Busy(String),
    #[error("{0}")]
    Apart(String),
    #[error("cancelled")]
    Cancelled,
}

/// Both in one unit, exact where they would read the same.
fn amounts(needed: u64, available: u64, what: &str) -> (String, String) {
    let short = (human_bytes(needed), human_bytes(available));
    match what {
        "space" if short.0 != short.1 => short,
        "space" => (format!("{needed} B"), format!("{available} B")),
        _ => (needed.to_string(), available.to_string()),
    }
}

impl Error {
    /// The system refused `operation` on `path`.
    pub(crate) fn system(
        operation: &'static str,
        path: impl AsRef<Path>,
        source: impl Into<io::Error>,
    ) -> Self {
        let path = path.as_ref().to_owned();
        Self::new(Problem::System { operation, path, source: source.into(), config: false })
    }

    /// As [`Error::system`], for errors that mean the request is wrong.
    pub(crate) fn unusable(
        operation: &'static str,
        path: impl AsRef<Path>,
        source: impl Into<io::Error>,
    ) -> Self {
        let path = path.as_ref().to_owned();
        Self::new(Problem::System { operation, path, source: source.into(), config: true })
    }

    /// The request contradicts itself or the volume.
    pub(crate) fn request(sentence: impl Into<String>) -> Self {
        Self::new(Problem::Request(sentence.into()))
    }

    /// The content does not fit. `what` is `space` (bytes) or `inodes`.
    pub(crate) fn space(what: &'static str, path: &Path, needed: u64, available: u64) -> Self {
        Self::new(Problem::Space { what, path: path.to_owned(), needed, available })
    }

    /// Source files changed during each of the attempts to read them. Everything else was copied.
    pub(crate) fn torn(source: &Path, names: &[EntryPath], count: u64) -> Self {
        let path = source.join(names.first().map_or(Path::new(""), EntryPath::as_path));
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let sentence = format!(
            "{}{more} changed while it was copied, each of three times: copy from a source that nobody writes to",
            shown_path(&path)
        );
        Self::new(Problem::Torn { sentence, path })
    }

    /// A file that is to be replaced is in use.
    pub(crate) fn busy(sentence: String) -> Self {
        Self::new(Problem::Busy(sentence))
    }

    /// The copy is incomplete: other shards have another image, or the destination was moved.
    pub(crate) fn apart(sentence: String) -> Self {
        Self::new(Problem::Apart(sentence))
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(Problem::Cancelled)
    }

    fn new(problem: Problem) -> Self {
        Self { problem, reached: Reached::default(), begun: false, changes: Box::default() }
    }

    /// The class, which decides the exit status.
    pub fn cause(&self) -> Cause {
        match &self.problem {
            Problem::Request(_) => Cause::Config,
            Problem::Space { .. } => Cause::NoSpace,
            Problem::Cancelled => Cause::Cancelled,
            Problem::Torn { .. } | Problem::Busy(_) | Problem::Apart(_) => Cause::Io,
            Problem::System { source, config, .. } => match Errno::from_io_error(source) {
                Some(Errno::NOSPC | Errno::DQUOT) => Cause::NoSpace,
                Some(Errno::ROFS) => Cause::ReadOnly,
                Some(Errno::STALE) => Cause::Stale,
                _ if *config => Cause::Config,
                _ => Cause::Io,
            },
        }
    }

    /// The system's error number.
    pub fn errno(&self) -> Option<i32> {
        match &self.problem {
            Problem::System { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
