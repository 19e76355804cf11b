//! The tee: everything that the command prints goes through here to the preserved log and to the runner's stdout. A
//! dedicated thread looks at what the pipe holds, writes it to the log, then to stdout, and only then takes it out of
//! the pipe. Owns the log's descriptor during the attempt; knows neither hooks nor who wrote the header and footer.
//!
//! The log is written first: whatever appeared on stdout is in the file. What was taken out of the pipe is there too,
//! even if the runner is killed. The exception is what redaction holds back: writing it would show the beginning of a
//! secret, and in the pipe it would be lost with the runner, its only reader. Stdout has not shown it either.

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
pub use tee::{Attached, Tee, say, shares_lines, show, start_line};
