//! The tee: everything the command prints goes through here to the preserved log and to the runner's stdout.
//! A dedicated thread reads 64 KiB, writes the log, writes stdout. Owns the log's descriptor during the attempt;
//! must not know what a hook is, nor who wrote the header and the footer that it is given to frame the output with.
//!
//! The log is written first, so whatever was seen on stdout is in the file, even when the runner is killed.

mod console;
mod failure;
mod log;
mod progress;
mod redact;
mod stamp;
mod tail;
mod tee;
mod worker;

pub use failure::{Cause, LogFailure};
pub use redact::{Redactor, SourceError, Sources, Stream as RedactedStream};
pub use tail::{MaxLog, recover as recover_tail};
pub use tee::{Attached, Audience, Closing, Enter, LogFile, Options, Report, Tee, say};
