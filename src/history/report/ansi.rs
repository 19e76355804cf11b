//! A command's output as HTML. Colours become classes; other control sequences are removed or made visible. The result is
//! always escaped text in `<span>`s.

use std::collections::BTreeSet;

use super::escape;
use super::style::Style;
use crate::support::harmless::is_harmful;

/// The most bytes of HTML that a change of style takes.
const STYLE_CHANGE: usize = 64;

/// Makes HTML, and collects the colours that need rules in the style sheet.
#[derive(Debug, Default)]
pub(super) struct Painter {
    pub(super) colors: BTreeSet<u32>,
}

/// The offset in `bytes` from which on the HTML has at most `limit` bytes, estimated from above.
pub(super) fn affordable(bytes: &[u8], limit: usize) -> usize {
    let mut cost = 0;
    let mut start = bytes.len();
    for &byte in bytes.iter().rev() {
        cost += match byte {
            0x1b => STYLE_CHANGE,
            b'&' | b'<' | b'>' | b'"' | b'\'' => 6,
            0x20..=0x7e | b'\n' => 1,
            _ => 4,
        };
        if cost > limit {
            break;
        }
        start -= 1;
    }
    start
}

impl Painter {
    /// The HTML of `bytes`.
    pub(super) fn paint(&mut self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let mut html = String::with_capacity(text.len() + text.len() / 8);
        let (mut wanted, mut open) = (Style::default(), Style::default());
        let mut rest = &*text;
        while let Some(c) = rest.chars().next() {
            let mut length = c.len_utf8();
            if c == '\u{1b}'
                && let Some((sequence, parameters)) = sequence(rest)
            {
                if let Some(parameters) = parameters {
                    wanted.apply(parameters);
                }
                rest = &rest[sequence..];
                continue;
            }
            if wanted != open {
                self.change(&mut open, wanted, &mut html);
            }
            match c {
                '\n' | '\t' => html.push(c),
                // A progress bar overwrites its line. Here each state gets a line of its own.
                '\r' => {
                    html.push('\n');
                    length += usize::from(rest[1..].starts_with('\n'));
                }
                // Unicode's pictures of control characters (U+2400 and following).
                '\0'..='\u{1f}' => html.extend(char::from_u32(0x2400 + u32::from(c))),
                '\u{7f}' => html.push('\u{2421}'),
                c if is_harmful(c) => html.extend(c.escape_default()),
                c => escape::push(c, &mut html),
            }
            rest = &rest[length..];
        }
        self.change(&mut open, Style::default(), &mut html);
        html
    }

    fn change(&mut self, open: &mut Style, wanted: Style, html: &mut String) {
        if *open != Style::default() {
            html.push_str("</span>");
        }
        if wanted != Style::default() {
            html.push_str(&format!("<span class=\"{}\">", wanted.classes(&mut self.colors)));
        }
        *open = wanted;
    }
}

/// The length of the control sequence at the start of `text` (ECMA-48), and its parameters if it sets a style. A sequence that
/// does not end on its line does not count: it would hide the rest of the log.
fn sequence(text: &str) -> Option<(usize, Option<&str>)> {
    let bytes = text.as_bytes();
    let within = |range: std::ops::RangeInclusive<u8>, from: usize| {
        from + bytes[from..].iter().take_while(|byte| range.contains(byte)).count()
    };
    match bytes.get(1)? {
        b'[' => {
            let parameters = within(0x30..=0x3f, 2);
            let end = within(0x20..=0x2f, parameters);
            let last = bytes.get(end).filter(|byte| (0x40..=0x7e).contains(*byte))?;
            let is_style = *last == b'm' && end == parameters && !text[2..end].contains(['<', '=', '>', '?']);
            Some((end + 1, is_style.then(|| &text[2..end])))
        }
        // Titles, links, images and the like end with BEL or ESC \.
        b']' | b'P' | b'X' | b'^' | b'_' => {
            let line = text.split('\n').next()?;
            let bell = line.find('\u{7}').map(|at| at + 1);
            let terminator = line.find("\u{1b}\\").map(|at| at + 2);
            Some((bell.into_iter().chain(terminator).min()?, None))
        }
        _ => {
            let end = within(0x20..=0x2f, 1);
            bytes.get(end).filter(|byte| (0x30..=0x7e).contains(*byte)).map(|_| (end + 1, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(text: &[u8]) -> String {
        Painter::default().paint(text)
    }

    #[test]
    fn colours_become_classes_and_end_with_the_text() {
        for (text, html) in [
            (&b"\x1b[31merror\x1b[0m: no"[..], "<span class=\"t1\">error</span>: no"),
            (b"\x1b[1;92mok", "<span class=\"t10 bold\">ok</span>"),
            (b"\x1b[38;5;208mx\x1b[m", "<span class=\"tff8700\">x</span>"),
            (b"\x1b[48;2;1;2;3mx", "<span class=\"b010203\">x</span>"),
            (b"\x1b[38:2::255:0:10mx", "<span class=\"tff000a\">x</span>"),
            (b"\x1b[7mx\x1b[27my", "<span class=\"tp bi\">x</span>y"),
            (b"\x1b[31m\x1b[32m\x1b[0mplain", "plain"),
        ] {
            assert_eq!(painted(text), html, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn nothing_else_that_steers_a_terminal_is_left_and_nothing_is_swallowed() {
        for (text, html) in [
            (&b"a\x1b[2Jb\x1b[?25lc\x1b(Bd"[..], "abcd"),
            (b"\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x1b\\ end", "link end"),
            (b"\x1b]0;no end\nnext", "\u{241b}]0;no end\nnext"),
            (b"10%\r20%\r\ndone", "10%\n20%\ndone"),
            (b"a\0b\x08c\xffd", "a\u{2400}b\u{2408}c\u{fffd}d"),
            ("a\u{2028}b\u{202e}c".as_bytes(), "a\\u{2028}b\\u{202e}c"),
            (b"<script>alert('1')</script>", "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"),
            (b"\x1b[", "\u{241b}["),
            (b"\x1b", "\u{241b}"),
        ] {
            assert_eq!(painted(text), html, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_afforded_is_never_exceeded() {
        let worst: [&[u8]; 6] = [
            b"\x1b[1;2;3;4;9;38;2;1;2;3;48;2;1;2;3mx\x1b[0my",
            b"\x1b[1mx",
            b"<'\">&",
            b"\0\x01\x7f\r",
            b"\xff\xfe",
            "\u{202e}\u{9b}ß投".as_bytes(),
        ];
        for piece in worst {
            let bytes = piece.repeat(500);
            for limit in [0, 1, 100, 3000] {
                let shown = painted(&bytes[affordable(&bytes, limit)..]).len();
                assert!(shown <= limit + "</span>".len(), "{shown} bytes of {limit} for {piece:?}");
            }
        }
    }
}
