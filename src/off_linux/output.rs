//! The program's own lines on stderr.

use std::io::{self, Write as _};

use crate::support::color;
use crate::support::harmless::harmless;

#[path = "../output/own_lines.rs"]
mod own_lines;

pub use own_lines::{Level, own_lines_as_json};

/// Prints a message of the program's own, as one line.
pub fn say(level: Level, sentence: &str) {
    let red = level == Level::Error && color::wanted(&io::stderr());
    let mark = if red { own_lines::RED_MARK } else { own_lines::MARK };
    let line = format!("{mark}{}\n", harmless(sentence));
    // If stderr is closed, nobody can be told.
    let _ = io::stderr().write_all(own_lines::own_lines(level, &line).as_bytes());
}
