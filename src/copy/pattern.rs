//! A pattern in gitignore(5) syntax.

/// `None` if the text is empty or a comment.
pub(crate) fn pattern(text: &str) -> Option<gix_glob::Pattern> {
    gix_glob::parse(without_trailing_spaces(text).as_bytes()).filter(|_| !text.starts_with('#'))
}

/// Whether `text` is a pattern, not empty and not a comment.
pub fn is_pattern(text: &str) -> bool {
    pattern(text).is_some()
}

/// Trailing spaces are ignored unless escaped with a backslash (gitignore(5)).
fn without_trailing_spaces(text: &str) -> &str {
    let trimmed = text.trim_end_matches(' ');
    let escapes = trimmed.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if escapes % 2 == 1 && trimmed.len() < text.len() { &text[..=trimmed.len()] } else { trimmed }
}
