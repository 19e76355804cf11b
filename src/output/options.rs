//! What the tee is given: the log, what to do with the output, and how to end.

use std::fs::File;
use std::path::PathBuf;

use super::redact::Redactor;
use super::tail::MaxLog;

/// The preserved log, opened for this attempt.
#[derive(Debug)]
pub struct LogFile {
    /// Opened for reading and appending. Only the tee writes to it until it is sealed.
    pub file: File,
    /// The directory it is in, synced when the log is sealed.
    pub directory: Option<File>,
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

/// How the log is ended, in this order: the footer, fsync of the log and of its directory, syncfs of the volume.
#[derive(Debug)]
pub struct Closing {
    /// Goes into the log only, at the start of a line.
    pub footer: Vec<u8>,
    /// Whether the volume holds more than the log.
    pub sync_volume: bool,
}
