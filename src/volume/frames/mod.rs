//! The frames of the preserved log: a header before and a footer after each attempt's bytes.
//!
//! The command's bytes stand between them as they are. A frame is never told from them by its looks: its record says where
//! in the file the header begins, and how many bytes of output and of footer precede the footer's record. So a log
//! is read from its end backwards, and lines that only look like a frame, such as those of a command that prints a log,
//! are passed over. docs/formats.md states every byte.

mod frame;
mod legacy;
mod read;
mod scan;
mod write;

pub use frame::Frame;
pub use read::{is_log, read};
pub use write::{footer, header, moved};
