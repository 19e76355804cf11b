//! The value of an `Authorization` header for basic authentication (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

/// The header's value for `USER:PASSWORD`, marked sensitive so that debug output hides it. `None` without a colon.
pub fn basic_auth(credentials: &[u8]) -> Option<HeaderValue> {
    if !credentials.contains(&b':') {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(credentials))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::basic_auth;

    #[test]
    fn the_value_is_that_of_the_rfc() {
        // RFC 7617, section 2.
        let value = basic_auth(b"Aladdin:open sesame").expect("a value");
        assert_eq!(value.to_str().ok(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert!(basic_auth(b"no colon").is_none());
    }
}
