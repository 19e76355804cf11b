//! Reads a hook file (YAML); messages name the line and column of a mistake.

use std::path::Path;

use crate::hook::file_value::FileValue;
use crate::hook::layer::Layer;
use crate::hook::yaml::{self, Mistake, Position};
use crate::support::cause::words;
use crate::support::small_file;

/// Size limit of a hook file in bytes; a `ConfigMap` holds at most 1 MiB (Kubernetes, "`ConfigMaps`").
const LARGEST: u64 = 4 << 20;

/// A hook file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error(
        "the hook file {path} cannot be read: {}; check the path, and the volume or ConfigMap that it is mounted from",
        words(cause)
    )]
    Unreadable {
        /// The file.
        path: String,
        /// The system's error.
        cause: std::io::Error,
    },
    /// It is not a valid hook file.
    #[error("{path}:{at}: {message}")]
    Wrong {
        /// The file.
        path: String,
        /// Line and column.
        at: Position,
        /// What is wrong and what was expected.
        message: String,
    },
}

/// Reads and parses `path`.
pub fn read(path: &Path) -> Result<Layer, FileError> {
    let name = path.display().to_string();
    let text = small_file::read(path, LARGEST)
        .map_err(|cause| FileError::Unreadable { path: name.clone(), cause })?;
    parse(&name, &text)
}

/// Parses `text`; `path` is only used in messages.
pub fn parse(path: &str, text: &[u8]) -> Result<Layer, FileError> {
    let wrong =
        |mistake: Mistake| FileError::Wrong { path: path.into(), at: mistake.at, message: mistake.message };
    let text = std::str::from_utf8(text).map_err(|error| wrong(not_utf8(text, error.valid_up_to())))?;
    match yaml::parse(text).map_err(wrong)? {
        Some(node) if !node.is_null() => Layer::read(&node).map_err(wrong),
        _ => {
            Err(wrong(Mistake { at: Position::START, message: "the file is empty; expected a hook".into() }))
        }
    }
}

/// The position of the first byte that is not UTF-8.
fn not_utf8(text: &[u8], at: usize) -> Mistake {
    let before = String::from_utf8_lossy(&text[..at]);
    let line = before.lines().count().max(1);
    let column = before.lines().next_back().map_or(0, |line| line.chars().count()) + 1;
    let message = "this is not UTF-8 text; save the file as UTF-8".into();
    Mistake { at: Position { line, column }, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        parse("hook.yaml", text.as_bytes()).expect_err("accepted").to_string()
    }

    #[test]
    fn a_mistake_is_named_with_line_column_and_what_was_expected() {
        let cases = [
            ("log: /x\ntimeout: 4x\n", "hook.yaml:2:10: timeout: ", "expected numbers with ms, s, m, h or d"),
            ("timeout: 300\n", "hook.yaml:1:10: timeout: ", "is 300s meant?"),
            ("timeout: 4M\n", "hook.yaml:1:10: timeout: ", "is 4m meant?"),
            ("timeout: 0s\n", "hook.yaml:1:10: timeout: ", "over before anything"),
            (
                "steps:\n  - copy: {from: a, too: b}\n",
                "hook.yaml:2:21: ",
                "`too` is no key of a copy; is `to` meant?",
            ),
            ("steps:\n  - cpy: {}\n", "hook.yaml:2:5: ", "`cpy` is no key of a step; is `copy` meant?"),
            ("steps:\n  - copy: {from: a}\n", "hook.yaml:2:11: ", "needs the key `to`"),
            ("steps:\n  - wait: {timeout: 1m}\n", "hook.yaml:2:11: ", "needs the key `for`"),
            ("steps:\n  - exec: {command: []}\n", "hook.yaml:2:21: ", "an empty command"),
            ("steps:\n  - exec: {command: ['']}\n", "hook.yaml:2:21: ", "name is empty"),
            ("steps:\n  - {}\n", "hook.yaml:2:5: ", "an empty step; expected one of copy, wait, exec"),
            ("steps: []\n", "hook.yaml:1:8: ", "an empty list of steps"),
            ("log: /x\nlog: /y\n", "hook.yaml:2:1: ", "`log` stands twice, first on line 1"),
            ("logg: x\n", "hook.yaml:1:1: ", "is `log` meant?"),
            ("colour: x\n", "hook.yaml:1:1: ", "expected one of log, timeout"),
            ("[]\n", "hook.yaml:1:1: ", "expected keys with values"),
            ("", "hook.yaml:1:1: ", "empty"),
            ("steps:\n  - exec: {command: echo}\n", "hook.yaml:2:21: ", "expected a list"),
            ("log: [a]\n", "hook.yaml:1:6: ", "not a list"),
            ("keep: lots\n", "hook.yaml:1:7: ", "whole number"),
            ("keep: 010\n", "hook.yaml:1:7: ", "octal"),
            ("log-mode: 0640\n", "hook.yaml:1:11: ", "write '0640'"),
            ("steps:\n  - copy: {from: a, to: b, chown: 33:33}\n", "hook.yaml:2:35: ", "write '33:33'"),
            ("timestamps: maybe\n", "hook.yaml:1:13: ", "neither true nor false"),
            (
                "steps:\n  - {copy: {from: a, to: b}, exec: {command: [x]}}\n",
                "hook.yaml:2:30: ",
                "begin another with `- exec:`",
            ),
            ("log: none\n---\nlog: none\n", "hook.yaml:2:1: ", "one hook"),
        ];
        for (text, place, expected) in cases {
            let message = mistake(text);
            assert!(message.starts_with(place), "{text:?}: {message}");
            assert!(message.contains(expected), "{text:?}: {message}");
            assert!(!message.contains('\n'), "one sentence: {message}");
        }
    }
}
