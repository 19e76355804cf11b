//! A regular expression as `--grep` takes it.

use regex_lite::Regex;

/// Parses a regular expression. The message is ours, because the library's is written for programmers.
pub fn expression(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|_| {
        format!(
            "'{text}' is no regular expression, or too large a one; check its brackets and counts, and put \\ before a character that stands for itself"
        )
    })
}
