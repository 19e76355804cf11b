//! The tee's input: the log, and how to treat the output.

use std::fs::File;
use std::path::PathBuf;

use super::redact::Redactor;
use super::tail::MaxLog;

/// The preserved log, opened for this attempt.
#[derive(Debug)]
pub struct LogFile {
    /// Open for reading and appending. Only the tee writes to it until the output has ended.
    pub file: File,
    /// The name for messages.
    pub name: PathBuf,
    /// Keep only the first and last part of a long output.
    pub max: Option<MaxLog>,
}

/// How the tee treats the output.
#[derive(Debug, Default)]
pub struct Options {
    /// `None` with `--log none`.
    pub log: Option<LogFile>,
    /// Two pipes keep stderr apart from stdout; the order between them is lost.
    pub split_streams: bool,
    /// Put the time before each line in the file.
    pub timestamps: bool,
    /// Put `stderr: ` before each line in the file that came from there; implies two pipes.
    pub annotate: bool,
    /// Secrets to mask in both sinks.
    pub redact: Option<Redactor>,
}
