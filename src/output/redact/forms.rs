//! The forms a secret takes on its way into a log: as it is, in base64 at each of the three alignments, URL-encoded,
//! escaped in JSON. Pure functions of bytes.

use std::fmt::Write;

/// Shorter encoded pieces would mask ordinary words.
const SHORTEST: usize = 6;

/// RFC 4648, sections 4 and 5.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// All forms of all secrets, each once.
pub(super) fn all(secrets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| of(secret)).collect();
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort();
    forms.dedup();
    forms
}

fn of(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec()];
    for alphabet in [BASE64, BASE64_URL] {
        forms.extend((0..3).map(|before| base64(secret, before, alphabet)));
    }
    forms.extend(url(secret));
    forms.extend(json(secret));
    forms
}

/// The characters that depend on nothing but `secret`, when `before` bytes (modulo 3) stand before it.
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

/// Percent-encoding (RFC 3986, 2.1), by the sets of characters that common encoders leave alone: the RFC's unreserved
/// ones; those of `encodeURIComponent` and of `encodeURI`; those of HTML forms, which write a blank as `+`.
fn url(secret: &[u8]) -> Vec<Vec<u8>> {
    const COMMON: &[u8] = b"-._~";
    const COMPONENT: &[u8] = b"-._~!'()*";
    const URI: &[u8] = b"-._~!'()*;/?:@&=+$,#";
    const FORM: &[u8] = b"-._*";
    let mut forms = Vec::new();
    for (kept, plus) in [(COMMON, false), (COMPONENT, false), (URI, false), (FORM, true)] {
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

/// Inside a JSON string (RFC 8259, 7), as encoders differ: `/` escaped or not; `<`, `>`, `&` as in HTML-safe output;
/// everything beyond ASCII escaped or not.
fn json(secret: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(secret) else { return Vec::new() };
    let mut forms = Vec::new();
    for (slash, html, ascii) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (false, false, true),
        (true, false, true),
    ] {
        let mut form = String::with_capacity(text.len() * 2);
        for character in text.chars() {
            match character {
                '"' => form.push_str("\\\""),
                '\\' => form.push_str("\\\\"),
                '\n' => form.push_str("\\n"),
                '\r' => form.push_str("\\r"),
                '\t' => form.push_str("\\t"),
                '\u{8}' => form.push_str("\\b"),
                '\u{c}' => form.push_str("\\f"),
                '/' if slash => form.push_str("\\/"),
                '<' | '>' | '&' if html => escape(&mut form, character),
                '\0'..' ' => escape(&mut form, character),
                _ if ascii && !character.is_ascii() => escape(&mut form, character),
                _ => form.push(character),
            }
        }
        forms.push(form.into_bytes());
    }
    forms
}

fn escape(form: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(form, "\\u{unit:04x}");
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
    fn url_and_json_forms_are_those_of_common_encoders() {
        let url = url(b"p@ss w/rd*");
        for form in [
            &b"p%40ss%20w%2Frd%2A"[..],
            b"p%40ss%20w%2frd%2a",
            b"p%40ss%20w%2Frd*",
            b"p@ss%20w/rd*",
            b"p%40ss+w%2Frd*",
        ] {
            assert!(url.iter().any(|other| other == form), "{}", form.escape_ascii());
        }
        let json = json("a\"\\\n</é\u{1}😀".as_bytes());
        for form in [
            "a\\\"\\\\\\n</é\\u0001😀",
            "a\\\"\\\\\\n<\\/é\\u0001😀",
            "a\\\"\\\\\\n\\u003c/é\\u0001😀",
            "a\\\"\\\\\\n</\\u00e9\\u0001\\ud83d\\ude00",
        ] {
            assert!(json.iter().any(|other| other == form.as_bytes()), "{form}");
        }
    }
}
