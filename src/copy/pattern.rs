//! A pattern in gitignore(5) syntax.

use gix_glob::wildmatch;
use gix_glob::wildmatch::Mode;

/// `None` if the text is empty or a comment.
pub(crate) fn pattern(text: &str) -> Option<gix_glob::Pattern> {
    gix_glob::parse(without_trailing_spaces(text).as_bytes()).filter(|_| !text.starts_with('#'))
}

/// Why a text can match no path, in one sentence that says what to write; `None` for a pattern.
pub fn pattern_mistake(text: &str) -> Option<String> {
    if pattern(text).is_none() {
        return Some(format!(
            "'{text}' is empty or a comment and matches nothing; leave it out, or write \\# for a name that begins with #"
        ));
    }
    let body = without_trailing_spaces(text);
    let body = body.strip_prefix('!').unwrap_or(body);
    let body = body.strip_prefix('/').unwrap_or(body);
    let why = unmatchable(body.strip_suffix('/').unwrap_or(body).as_bytes())?;
    Some(format!("'{text}' matches nothing: {why}"))
}

/// Why a pattern without its `!` and outer slashes can match no path.
fn unmatchable(pattern: &[u8]) -> Option<String> {
    let mut rest = pattern;
    // The literal part of the current name; `None` after a wildcard.
    let mut name = Some(Vec::new());
    loop {
        let (token, after) = match rest {
            [] | [b'/', ..] | [b'\\', b'/', ..] => {
                if let Some(why) = name.as_deref().and_then(impossible) {
                    return Some(why.into());
                }
                if rest.is_empty() {
                    return None;
                }
                name = Some(Vec::new());
                rest = &rest[if rest[0] == b'/' { 1 } else { 2 }..];
                continue;
            }
            [b'\\'] => {
                return Some("the backslash at its end escapes nothing; write \\\\ for a backslash".into());
            }
            [b'[', ..] => {
                let Some(length) = bracket(rest) else {
                    return Some("a bracket is not closed; write \\[ for a bracket".into());
                };
                let (class, after) = rest.split_at(length);
                let has =
                    |byte: &u8| wildmatch(class.into(), [*byte][..].into(), Mode::NO_MATCH_SLASH_LITERAL);
                if !(1..=255).any(|byte| has(&byte)) {
                    return Some(format!("no character is in {}", String::from_utf8_lossy(class)));
                }
                (None, after)
            }
            [b'*' | b'?', after @ ..] => (None, after),
            [b'\\', literal, after @ ..] | [literal, after @ ..] => (Some(*literal), after),
        };
        match (&mut name, token) {
            (Some(name), Some(literal)) => name.push(literal),
            _ => name = None,
        }
        rest = after;
    }
}

/// Why no file has this name.
fn impossible(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => {
            Some("there is no name between two of its slashes, or at all; write one slash between two names")
        }
        b"." | b".." => {
            Some("no path below the source has a part . or ..; write /NAME for a name in the source itself")
        }
        _ => None,
    }
}

/// The length of the bracket expression at the beginning of a pattern; `None` if it is not closed. A `]` right after
/// the bracket, or after its `!` or `^`, is an ordinary character.
fn bracket(pattern: &[u8]) -> Option<usize> {
    let mut at = if matches!(pattern.get(1), Some(b'!' | b'^')) { 2 } else { 1 };
    let mut after_character = false;
    loop {
        let next = pattern.get(at + 1);
        match pattern.get(at)? {
            b'\\' => {
                at += 1;
                after_character = true;
            }
            b'-' if after_character && next.is_some_and(|next| *next != b']') => {
                at += if next == Some(&b'\\') { 2 } else { 1 };
                after_character = false;
            }
            b'[' if next == Some(&b':') => {
                let close = at + 2 + pattern.get(at + 2..)?.iter().position(|byte| *byte == b']')?;
                let is_class = close > at + 2 && pattern[close - 1] == b':';
                at = if is_class { close } else { at };
                after_character = !is_class;
            }
            _ => after_character = true,
        }
        at += 1;
        if pattern.get(at) == Some(&b']') {
            return Some(at + 1);
        }
    }
}

/// Trailing spaces are ignored unless escaped with a backslash (gitignore(5)).
fn without_trailing_spaces(text: &str) -> &str {
    let trimmed = text.trim_end_matches(' ');
    let escapes = trimmed.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if escapes % 2 == 1 && trimmed.len() < text.len() { &text[..=trimmed.len()] } else { trimmed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_match_no_path_is_told_with_the_reason() {
        for (texts, why) in [
            (&["", " ", "#x", "!", "! "][..], "is empty or a comment"),
            (&["/", "!/", "//", "a//b", "//a", "a//", "/ "], "one slash between two names"),
            (
                &[".", "..", "./a", "../x", "a/./b", "a/..", "!./a", "./", "**/.", "\\./a", "./ "],
                "a part . or ..",
            ),
            (&["a\\", "a/b\\", "a\\/"], "escapes nothing"),
            (&["[z-a", "[]", "a[b", "[!", "[]a", "[[:alpha:]", "[\\", "[a-\\]"], "not closed"),
            (&["[[:letter:]]", "a/[[:no:]]b", "[/]", "[[:alpha:]b-a[:no:]]"], "no character is in ["),
        ] {
            for text in texts {
                let told = pattern_mistake(text).unwrap_or_default();
                assert!(told.contains(why), "{text}: {told}");
            }
        }
        for text in [
            "a",
            "/a",
            "a/",
            "!a",
            "\\#a",
            "\\!a",
            "*",
            "**",
            "/**",
            "**/a",
            "a/**/b",
            "a/**",
            ".*",
            "..a",
            "a.",
            "...",
            "[ab]c",
            "[]]",
            "[!]a]",
            "[]-a]",
            "\\[a",
            "a]",
            "[z-a]",
            "[z-ab]",
            "[!z-a]",
            "[^z-a]",
            "[a/b]",
            "[.-0]",
            "[[:alpha:]]",
            "[[:alpha:]-z]",
            "[a-]",
            "[--0]",
            "[[a]",
            "[[:]",
            "[\\]]",
            "a\\ ",
            "a\\\\",
            "?",
            "ä",
            "[ä]",
            "a b",
            " a",
        ] {
            assert_eq!(pattern_mistake(text), None, "{text}");
        }
    }
}
