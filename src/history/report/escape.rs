//! Escapes text for a page: no markup, no control characters, no change of the text's direction.

use crate::support::harmless::harmless;

/// The longest text that is shown; a hook's command line may have megabytes.
const LONGEST: usize = 2000;

/// `text` for the inside of an element or of a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let shown: String = text.chars().take(LONGEST).collect();
    let cut = if shown.len() < text.len() { "…" } else { "" };
    let mut html = String::with_capacity(shown.len());
    harmless(&shown).chars().for_each(|c| push(c, &mut html));
    html + cut
}

/// One character that is no control character.
pub(super) fn push(c: char, html: &mut String) {
    match c {
        '&' => html.push_str("&amp;"),
        '<' => html.push_str("&lt;"),
        '>' => html.push_str("&gt;"),
        '"' => html.push_str("&quot;"),
        '\'' => html.push_str("&#39;"),
        c => html.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_neither_an_element_nor_an_attribute() {
        assert_eq!(escaped("<a href=\"x\" b='y'>&"), "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
        assert_eq!(escaped("a\u{202e}b\u{1b}c\nd"), "a\\u{202e}b\\u{1b}c\\nd");
    }
}
