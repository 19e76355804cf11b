//! The forms in which a secret may appear: verbatim, in base64 at each of the three alignments, URL-encoded, escaped in
//! JSON, quoted in a shell's trace. Of a multi-line secret also each long line, because others may indent or number
//! lines. Pure functions of bytes.
//!
//! Not covered: base64 with line breaks, except of the secret alone; and double encoding, except JSON in JSON.

use std::fmt::Write;

/// Shorter encoded pieces would also mask ordinary words.
const SHORTEST: usize = 6;

/// Shorter lines of a multi-line secret are often ordinary words: `[default]`, `}`.
const SHORTEST_LINE: usize = 16;

/// Longer secrets are keys and certificates, which rarely go into URLs: only their most common encodings are searched
/// for, because building the automaton takes about 40 bytes of memory per byte of each form.
const LONGEST_OF_ALL_FORMS: usize = 1024;

/// Where encoders break base64 lines: base64(1) and MIME (RFC 2045, 6.8), openssl(1) and PEM (RFC 7468, 2).
const WIDTHS: [usize; 2] = [76, 64];

/// RFC 4648, sections 4 and 5.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// All forms of all secrets, without duplicates.
pub(super) fn all(secrets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| of(secret)).collect();
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort();
    forms.dedup();
    forms
}

fn of(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec()];
    forms.extend(lines(secret));
    forms.extend(wrapped(&base64(secret, 0, BASE64)));
    forms.extend(shell(secret));
    for alphabet in [BASE64, BASE64_URL] {
        forms.extend((0..3).map(|before| base64(secret, before, alphabet)));
    }
    forms.extend(url(secret));
    forms.extend(json(secret));
    // Most secrets have many identical forms.
    forms.sort();
    forms.dedup();
    forms
}

/// The base64 characters that depend only on `secret`, when it is preceded by `before` bytes (modulo 3).
fn base64(secret: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut padded = vec![0; before];
    padded.extend_from_slice(secret);
    let bits = padded.len() * 8;
    let first = (before * 8).div_ceil(6);
    (first..bits / 6)
        .map(|index| {
            let bit = index * 6;
            let byte = bit / 8;
            let next = padded.get(byte + 1).copied().unwrap_or(0);
            let pair = u16::from(padded[byte]) << 8 | u16::from(next);
            alphabet[usize::from(pair >> (10 - bit % 8) & 0x3f)]
        })
        .collect()
}

/// The long lines of a multi-line secret.
fn lines(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let lines = secret.contains(&b'\n').then(|| secret.split(|&byte| byte == b'\n'));
    lines
        .into_iter()
        .flatten()
        .map(<[u8]>::trim_ascii)
        .filter(|line| line.len() >= SHORTEST_LINE)
        .map(<[u8]>::to_vec)
}

/// The base64 of the secret alone, broken into lines.
fn wrapped(base64: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let long = WIDTHS.into_iter().filter(|&width| base64.len() > width);
    long.map(|width| base64.chunks(width).collect::<Vec<_>>().join(&b'\n'))
}

/// Single-quoted, as bash and dash trace commands (`set -x`).
fn shell(secret: &[u8]) -> Vec<Vec<u8>> {
    if !secret.contains(&b'\'') {
        return Vec::new();
    }
    let pieces: Vec<&[u8]> = secret.split(|&byte| byte == b'\'').collect();
    [&br"'\''"[..], br#"'"'"'"#].map(|quote| pieces.join(quote)).into()
}

/// Percent-encoding (RFC 3986, 2.1) in the variants of common encoders: which characters stay, and whether a blank
/// becomes `+` (HTML forms).
fn url(secret: &[u8]) -> Vec<Vec<u8>> {
    // RFC 3986's unreserved characters: `@uri` of jq, `QueryEscape` of Go, `quote_plus` of Python, `rawurlencode` of
    // PHP.
    const COMMON: &[u8] = b"-._~";
    // `quote` of Python.
    const QUOTE: &[u8] = b"-._~/";
    // `encodeURIComponent` and `encodeURI` of JavaScript.
    const COMPONENT: &[u8] = b"-._~!'()*";
    const URI: &[u8] = b"-._~!'()*;/?:@&=+$,#";
    // HTML forms in browsers and Java; `urlencode` of PHP.
    const FORM: &[u8] = b"-._*";
    const PHP: &[u8] = b"-._";
    // Go: `user:password@`, and one name of a path.
    const USER: &[u8] = b"-._~$&+,;=";
    const NAME: &[u8] = b"-._~$&+:=@";
    const SETS: [(&[u8], bool); 9] = [
        (COMMON, false),
        (FORM, true),
        (COMMON, true),
        (QUOTE, false),
        (COMPONENT, false),
        (URI, false),
        (PHP, true),
        (USER, false),
        (NAME, false),
    ];
    let sets = if secret.len() > LONGEST_OF_ALL_FORMS { &SETS[..2] } else { &SETS[..] };
    let mut forms = Vec::new();
    for &(kept, plus) in sets {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            let mut form = Vec::with_capacity(secret.len() * 3);
            for &byte in secret {
                if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
                    form.push(byte);
                } else if plus && byte == b' ' {
                    form.push(b'+');
                } else {
                    let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                    form.extend_from_slice(&[b'%', digits[high], digits[low]]);
                }
            }
            forms.push(form);
        }
    }
    forms
}

/// Escapes in a JSON string (RFC 8259, 7). Encoders differ in whether they escape `/`, HTML characters (and which), and
/// non-ASCII characters, and in the case of hexadecimal digits. Also JSON in JSON.
fn json(secret: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(secret) else { return Vec::new() };
    let style = |html, bits| Style { html, slash: bits & 1 != 0, ascii: bits & 2 != 0, large: bits & 4 != 0 };
    let plain = (0..4).map(|bits| style("", bits).escape(text));
    let mut forms: Vec<Vec<u8>> = plain.map(String::into_bytes).collect();
    if secret.len() > LONGEST_OF_ALL_FORMS {
        return forms;
    }
    // None; those of Go; those of PHP's flags; those of .NET.
    let html = ["", "<>&", "<>&'\"", "<>&'\"+`"];
    let further = html.into_iter().flat_map(|html| (0..8).map(move |bits| (html, bits)));
    forms.extend(further.map(|(html, bits)| style(html, bits).escape(text).into_bytes()));
    // JSON in JSON.
    let [plain, ascii] = [style("", 0), style("", 2)];
    for (inner, outer) in [(&plain, &plain), (&plain, &ascii), (&ascii, &ascii)] {
        forms.push(outer.escape(&inner.escape(text)).into_bytes());
    }
    forms
}

/// An encoder's optional escapes.
struct Style {
    /// HTML characters that are escaped by number.
    html: &'static str,
    slash: bool,
    /// Escapes everything that is not ASCII.
    ascii: bool,
    /// Hexadecimal digits in upper case.
    large: bool,
}

impl Style {
    fn escape(&self, text: &str) -> String {
        let mut form = String::with_capacity(text.len() * 2);
        for character in text.chars() {
            let short = match character {
                _ if self.html.contains(character) => None,
                '"' => Some("\\\""),
                '\\' => Some("\\\\"),
                '\n' => Some("\\n"),
                '\r' => Some("\\r"),
                '\t' => Some("\\t"),
                '\u{8}' => Some("\\b"),
                '\u{c}' => Some("\\f"),
                '/' if self.slash => Some("\\/"),
                _ => None,
            };
            let numbered =
                character < ' ' || self.html.contains(character) || self.ascii && !character.is_ascii();
            match short {
                Some(short) => form.push_str(short),
                None if numbered => self.number(&mut form, character),
                None => form.push(character),
            }
        }
        form
    }

    fn number(&self, form: &mut String, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = if self.large { write!(form, "\\u{unit:04X}") } else { write!(form, "\\u{unit:04x}") };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_anything_around_a_secret_contains_one_of_its_three_alignments() {
        let secret = b"hunter2!pa";
        for before in 0..7_usize {
            for after in 0..5_usize {
                let text = [vec![b'x'; before], secret.to_vec(), vec![b'y'; after]].concat();
                let whole = base64(&text, 0, BASE64);
                let found = (0..3).any(|alignment| {
                    let form = base64(secret, alignment, BASE64);
                    whole.windows(form.len()).any(|window| window == form)
                });
                assert!(found, "{before} before, {after} after");
            }
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        assert_eq!(base64(b"foobar", 0, BASE64), b"Zm9vYmFy");
        assert_eq!(base64(b"foob", 0, BASE64), b"Zm9vY");
        assert_eq!(base64(&[0xfb, 0xff, 0xfe], 0, BASE64_URL), b"-__-");
    }

    #[test]
    fn what_is_looked_for_is_a_small_multiple_of_the_secret() {
        let line = "ab/+cd\"\\<é&' ".repeat(5);
        for lines in [1, 10, 1000] {
            let secret = vec![&*line; lines].join("\n").into_bytes();
            let bytes: usize = of(&secret).iter().map(Vec::len).sum();
            let most = if lines == 1000 { 40 } else { 120 };
            assert!(bytes < most * secret.len(), "{} times, {lines} lines", bytes / secret.len());
        }
    }

    #[test]
    fn url_and_json_forms_are_those_of_common_encoders() {
        let url = url(b"p@ss w/rd*");
        for form in [
            &b"p%40ss%20w%2Frd%2A"[..],
            b"p%40ss%20w%2frd%2a",
            b"p%40ss%20w%2Frd*",
            b"p@ss%20w/rd*",
            b"p%40ss+w%2Frd*",
            b"p%40ss+w%2frd*",
            // `quote`, `quote_plus` and a name in a path.
            b"p%40ss%20w/rd%2A",
            b"p%40ss+w%2Frd%2A",
            b"p@ss%20w%2Frd%2A",
        ] {
            assert!(url.iter().any(|other| other == form), "{}", form.escape_ascii());
        }
        let json = json("a\"\\\n</é\u{1}😀".as_bytes());
        for form in [
            "a\\\"\\\\\\n</é\\u0001😀",
            "a\\\"\\\\\\n<\\/é\\u0001😀",
            "a\\\"\\\\\\n\\u003c/é\\u0001😀",
            "a\\\"\\\\\\n</\\u00e9\\u0001\\ud83d\\ude00",
            "a\\\"\\\\\\n<\\/\\u00E9\\u0001\\uD83D\\uDE00",
            "a\\u0022\\\\\\n\\u003C/\\u00E9\\u0001\\uD83D\\uDE00",
            "a\\\\\\\"\\\\\\\\\\\\n</é\\\\u0001😀",
        ] {
            assert!(json.iter().any(|other| other == form.as_bytes()), "{form}");
        }
    }
}
