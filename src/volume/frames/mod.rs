//! The frames of the preserved log: a header before and a footer after each attempt's output.
//!
//! The command's bytes stand between them unchanged. So a frame is never recognized by its text: its record says where
//! in the file the header begins, and how many bytes of output and footer precede the footer's record. A log is read
//! backwards from its end, and lines that only look like a frame, such as those of a command that prints a log, are
//! skipped. docs/formats.md states every byte.

mod frame;
mod legacy;
mod read;
mod scan;
mod write;

pub use frame::Frame;
pub use read::{is_log, read};
pub use write::{footer, header, moved};
