//! Makes text from users and logs safe to print on one line of a terminal.

/// Escapes control characters and those that change the direction of text: a printed value must not break its line or
/// control the reader's terminal.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_in_place_of_being_done() {
        assert_eq!(harmless("a\u{1b}[31m\nb\u{9b}c\u{202e}d"), "a\\u{1b}[31m\\nb\\u{9b}c\\u{202e}d");
        assert_eq!(harmless("vote, größer, 投票"), "vote, größer, 投票");
    }
}
