//! The value of an `Authorization` header for basic authentication (RFC 7617).

use hyper::header::HeaderValue;

/// RFC 4648, section 4.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The header's value for `USER:PASSWORD`, marked sensitive so that debug output hides it. `None` without a colon.
pub fn basic_auth(credentials: &[u8]) -> Option<HeaderValue> {
    if !credentials.contains(&b':') {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Basic {}", base64(credentials))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let group = three.iter().fold(0_usize, |group, byte| group << 8 | usize::from(*byte));
        let group = group << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = ALPHABET[group >> (18 - 6 * place) & 63];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{base64, basic_auth};

    #[test]
    fn base64_is_that_of_the_rfcs() {
        // RFC 4648, section 10.
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        // RFC 7617, section 2.
        let value = basic_auth(b"Aladdin:open sesame").expect("a value");
        assert_eq!(value.to_str().ok(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert!(basic_auth(b"no colon").is_none());
    }
}
