//! The tee: everything the command prints goes through here to the preserved log and to the runner's stdout.
//! A dedicated thread looks at what is in the pipe, writes the log, writes stdout, and only then takes it. Owns the log's descriptor during the attempt;
//! must not know what a hook is, nor who wrote the header and the footer that it is given to frame the output with.
//!
//! The log is written first, so whatever was seen on stdout is in the file, and what was taken from the command is too,
//! even when the runner is killed - but for what redaction holds back: written it would show the beginning of a secret,
//! and left in the pipe it would die with the runner, who is its only reader. Stdout has not shown it either.

mod append_check;
mod blocking_writer;
mod console;
mod failure;
mod line_prefix;
mod log;
mod options;
mod own_lines;
mod own_ranges;
mod pipe_reader;
mod progress;
mod redact;
mod report;
mod sinks;
mod stream;
mod tail;
mod tee;
mod worker;

pub use failure::LogFailure;
pub use options::{LogFile, Options};
pub use own_lines::{Level, own_lines_as_json};
pub use redact::{Redactor, Sources};
pub use report::Report;
pub use tail::{MaxLog, recover as recover_tail};
pub use tee::{Attached, Tee, say, show};
