//! The runner's own lines on stderr: text, or one JSON object a line for a log pipeline.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::support::times;

/// For the whole process: a panic's line and that of a thread are the runner's own as well.
static JSON: AtomicBool = AtomicBool::new(false);

/// What a line of the runner's own begins with.
pub(super) const MARK: &str = "hook-runner: ";
/// The same on a terminal, where it tells why something failed.
pub(super) const RED_MARK: &str = "\u{1b}[31mhook-runner:\u{1b}[0m ";

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What goes on.
    Info,
    /// No failure, and worth knowing.
    Warning,
    /// Why something failed.
    Error,
}

/// From now on each line is a JSON object.
pub fn own_lines_as_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// `text`, which is one or more lines, as stderr gets it.
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
    // An empty first line parts it from a line that the command did not end.
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
