//! A header of a wait's requests, written `NAME: VALUE`.

use std::str::FromStr;

use hyper::header::{HeaderName, HeaderValue};

use crate::hook::file_value::form;

/// A header. Its value may be secret, so no message shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: HeaderName,
    /// The text after the colon, without surrounding spaces.
    pub value: HeaderValue,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a header is written NAME: VALUE, as in 'Host: shop.example', in ASCII characters and on one line")]
pub struct HeaderError;

impl FromStr for Header {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        // hyper also accepts other bytes, which RFC 9110, section 5.5, calls obsolete.
        let (name, value) = text.split_once(':').filter(|_| text.is_ascii()).ok_or(HeaderError)?;
        let name = name.parse().map_err(|_| HeaderError)?;
        let mut value = HeaderValue::from_str(value.trim_matches([' ', '\t'])).map_err(|_| HeaderError)?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

form!(Header, "a header as NAME: VALUE", "[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\\t -~]*");

#[cfg(test)]
mod tests {
    use super::Header;

    #[test]
    fn a_header_is_a_name_and_a_value_and_its_value_is_never_shown() {
        let header: Header = "Host:  shop.example ".parse().expect("a header");
        assert_eq!((header.name.as_str(), header.value.to_str().ok()), ("host", Some("shop.example")));
        for bad in ["Host", ": x", "Ho st: S3cret", "Host: S3cret\nX: y", "Host: S3cr\u{e9}t"] {
            let message = bad.parse::<Header>().expect_err(bad).to_string();
            assert!(!message.contains("S3"), "{message}");
        }
    }
}
