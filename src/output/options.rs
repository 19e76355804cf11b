//! What the tee is given: the log, and what to do with the output.

use std::fs::File;
use std::path::PathBuf;

use super::redact::Redactor;
use super::tail::MaxLog;

/// The preserved log, opened for this attempt.
#[derive(Debug)]
pub struct LogFile {
    /// Opened for reading and appending. Only the tee writes to it until the output has ended.
    pub file: File,
    /// For messages.
    pub name: PathBuf,
}

/// What the tee does with the output.
#[derive(Debug, Default)]
pub struct Options {
    /// None with `--log none`.
    pub log: Option<LogFile>,
    /// Two pipes: stderr stays apart from stdout, at the price of the order between them.
    pub split_streams: bool,
    /// A time before each line of the file.
    pub timestamps: bool,
    /// `stderr: ` before each line of the file that came from there; needs and implies two pipes.
    pub annotate: bool,
    /// Keeps the first and the last part of an endless log.
    pub max_log: Option<MaxLog>,
    /// What must not be seen, in either sink.
    pub redact: Option<Redactor>,
}
