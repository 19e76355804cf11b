//! How JSON keeps a path, which need not be UTF-8: as text in one field, or as base64 (RFC 4648, padded) in another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The values of the two fields. One is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    pub text: Option<String>,
    pub base64: Option<String>,
}

impl Written {
    pub fn of(path: &[u8]) -> Self {
        match std::str::from_utf8(path) {
            Ok(text) => Self { text: Some(text.to_owned()), base64: None },
            Err(_) => Self { text: None, base64: Some(STANDARD.encode(path)) },
        }
    }

    /// `None` if neither field is set, or the base64 is damaged.
    pub fn read(self) -> Option<Vec<u8>> {
        match self.base64 {
            Some(base64) => STANDARD.decode(base64).ok(),
            None => self.text.map(String::into_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_lost() {
        for path in [&b"a/b"[..], b"", b"a\xffb", b"\xff\xfe", b"new\nline", "größe".as_bytes()] {
            let written = Written::of(path);
            assert_eq!(written.text.is_some(), std::str::from_utf8(path).is_ok());
            assert_eq!(written.read().as_deref(), Some(path));
        }
        assert_eq!(Written { base64: Some("/w=".into()), ..Written::default() }.read(), None);
        assert_eq!(Written::default().read(), None);
    }
}
