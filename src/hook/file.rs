//! Reading a hook file (YAML) and naming the line and column of a mistake; its JSON Schema.

use std::path::Path;

use crate::hook::layer::Layer;

/// A hook file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error(
        "the hook file {path} cannot be read: {cause}; check --hook and the volume or ConfigMap it is mounted from"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It is not a hook. The place is 1-based, as editors count.
    #[error("{path}:{line}:{column}: {message}")]
    Wrong {
        /// The file.
        path: String,
        /// 1-based line.
        line: u64,
        /// 1-based column.
        column: u64,
        /// What is wrong and what was expected.
        message: String,
    },
}

/// Reads and parses `path`.
pub fn read(path: &Path) -> Result<Layer, FileError> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|cause| FileError::Unreadable { path: name.clone(), cause })?;
    parse(&name, &text)
}

/// Parses `text`; `path` is only for the message.
pub fn parse(path: &str, text: &str) -> Result<Layer, FileError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        FileError::Wrong {
            path: path.into(),
            line,
            column,
            message: plain(&error.without_snippet().to_string()),
        }
    })
}

/// The parser's message without the place, which the caller puts first.
fn plain(message: &str) -> String {
    let first = message.lines().next().unwrap_or(message);
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let message = match first.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => first.rsplit_once(" at line ").map_or(first, |(message, _)| message),
    };
    let words = WORDS.iter().find(|(theirs, _)| message.starts_with(theirs));
    words.map_or(message, |(_, ours)| ours).into()
}

/// The parser's own words, and what they mean to whoever writes a hook file.
const WORDS: [(&str, &str); 6] = [
    ("expected mapping start", "expected keys with values, as in `key: value`"),
    ("expected sequence start", "expected a list, as in [one, two] or lines that begin with `- `"),
    ("expected string scalar", "expected a text, not a list and not keys with values"),
    (
        "expected end of mapping after enum variant value",
        "expected one of copy, wait, exec for a step, and no other key beside it",
    ),
    ("multiple YAML documents detected", "expected one hook in a file, without a further `---`"),
    ("invalid u", "expected a whole number, 0 or more"),
];

/// The JSON Schema (draft 2020-12) of a hook file, generated from the types that read it.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Layer);
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        parse("hook.yaml", text).expect_err("accepted").to_string()
    }

    #[test]
    fn a_mistake_is_named_with_line_column_and_what_was_expected() {
        let cases = [
            ("log: /x\ntimeout: 4x\n", "hook.yaml:2:10: ", "expected one such as 30s"),
            (
                "steps:\n  - copy: {from: a, too: b}\n",
                "hook.yaml:2:21: ",
                "unknown field `too`, expected one of from, to",
            ),
            ("steps:\n  - cpy: {}\n", "hook.yaml:2:5: ", "expected one of copy, wait, exec"),
            ("steps:\n  - copy: {from: a}\n", "hook.yaml:2:12: ", "missing field `to`"),
            ("steps:\n  - wait: {timeout: 1m}\n", "hook.yaml:2:", "missing field `for`"),
            ("steps:\n  - exec: {command: []}\n", "hook.yaml:2:", "an empty command"),
            ("log: /x\nlog: /y\n", "hook.yaml:2:1: ", "duplicate"),
            ("logg: x\n", "hook.yaml:1:1: ", "unknown field `logg`"),
            ("[]\n", "hook.yaml:1:1: ", "expected keys with values"),
            ("steps:\n  - exec: {command: echo}\n", "hook.yaml:2:21: ", "expected a list"),
            ("log: [a]\n", "hook.yaml:1:6: ", "expected a text"),
            ("keep: lots\n", "hook.yaml:1:7: ", "expected a whole number"),
            (
                "steps:\n  - {copy: {from: a, to: b}, exec: {command: [x]}}\n",
                "hook.yaml:2:30: ",
                "expected one of copy, wait, exec for a step, and no other key",
            ),
            ("log: none\n---\nlog: none\n", "hook.yaml:3:1: ", "expected one hook in a file"),
        ];
        for (text, place, expected) in cases {
            let message = mistake(text);
            assert!(message.starts_with(place), "{text:?}: {message}");
            assert!(message.contains(expected), "{text:?}: {message}");
            assert!(!message.contains('\n'), "one sentence: {message}");
        }
    }

    #[test]
    fn the_schema_is_generated_from_the_types() {
        let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        for key in ["log", "timeout", "steps", "redact", "lock-timeout"] {
            assert!(schema["properties"].get(key).is_some(), "{key}");
        }
    }
}
