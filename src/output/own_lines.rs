//! The runner's own lines on stderr: text, or one JSON object per line for a log pipeline.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::support::times;

/// Global, because lines of panics and threads are the runner's own as well.
static JSON: AtomicBool = AtomicBool::new(false);

/// The prefix of the runner's own lines.
pub(super) const MARK: &str = "hook-runner: ";
/// The same on a terminal, for errors.
pub(super) const RED_MARK: &str = "\u{1b}[31mhook-runner:\u{1b}[0m ";

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Progress.
    Info,
    /// Not a failure, but worth knowing.
    Warning,
    /// A failure.
    Error,
}

/// Switches the runner's own lines to JSON objects.
pub fn own_lines_as_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// `text` (one or more lines) in the chosen format.
pub(super) fn own_lines(level: Level, text: &str) -> Cow<'_, str> {
    if !JSON.load(Ordering::Relaxed) {
        return text.into();
    }
    as_json(level, &times::now(), text).into()
}

fn as_json(level: Level, time: &str, text: &str) -> String {
    #[derive(Serialize)]
    struct Object<'a> {
        time: &'a str,
        level: Level,
        logger: &'static str,
        message: &'a str,
    }
    // An empty line first, because the command may not have ended its last line.
    let empty = if text.starts_with('\n') { "\n" } else { "" };
    let mut lines = empty.to_owned();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let message = [MARK, RED_MARK].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line);
        let object = Object { time, level, logger: "hook-runner", message };
        lines.push_str(&serde_json::to_string(&object).unwrap_or_default());
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_becomes_an_object_whatever_is_in_it() {
        let text = "\nhook-runner: a \"b\"\u{1b}\n\u{1b}[31mhook-runner:\u{1b}[0m c\n";
        let made = as_json(Level::Error, "now", text);
        let lines: Vec<&str> = made.lines().collect();
        assert_eq!(lines[0], "");
        assert_eq!(
            lines[1],
            r#"{"time":"now","level":"error","logger":"hook-runner","message":"a \"b\"\u001b"}"#
        );
        assert_eq!(lines[2], r#"{"time":"now","level":"error","logger":"hook-runner","message":"c"}"#);
    }
}
