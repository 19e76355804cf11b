//! What can be waited for, as it is written on the command line and in a hook file.
//!
//! Only values and their text. Knows nothing of probing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::http::{Endpoint, Malformed, Url};

/// One condition: `file:PATH`, `tcp:HOST:PORT`, `http://…` or `https://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Something exists at the path: a file, a directory, anything. Symbolic links are followed, so a link
    /// whose target is missing does not count.
    File(PathBuf),
    /// The port takes a connection. Nothing is sent.
    Tcp(Endpoint),
    /// A GET request is answered with an accepted status. Redirects are not followed: a redirect is an
    /// answer (accepted by default), and what it points to may be another server.
    Http(Url),
}

/// Text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// None of the four forms.
    #[error("{0:?} is no condition: expected file:PATH, tcp:HOST:PORT, http://HOST/… or https://HOST/…")]
    Form(String),
    /// `file:` and nothing.
    #[error("file: needs a path, as in file:/data/ready")]
    NoPath,
    /// `file:` with a NUL byte.
    #[error("the path in {0:?} holds a NUL byte, which no file name can")]
    Nul(String),
    /// What follows `tcp:` or the URL is wrong.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        if let Some(path) = text.strip_prefix("file:") {
            if path.is_empty() {
                return Err(ConditionError::NoPath);
            }
            if path.contains('\0') {
                return Err(ConditionError::Nul(text.into()));
            }
            // file:///data/x, the URL form (RFC 8089), is the same as file:/data/x.
            let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
            return Ok(Self::File(path.into()));
        }
        if let Some(endpoint) = text.strip_prefix("tcp:") {
            let endpoint = endpoint.strip_prefix("//").unwrap_or(endpoint);
            return Ok(Self::Tcp(endpoint.parse()?));
        }
        match text.split_once("://") {
            Some((scheme, _)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
                Ok(Self::Http(text.parse()?))
            }
            _ => Err(ConditionError::Form(text.into())),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Tcp(endpoint) => write!(f, "tcp:{endpoint}"),
            Self::Http(url) => url.fmt(f),
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Condition;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a condition: file:PATH, tcp:HOST:PORT, http://… or https://…")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Condition, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::Condition;

    #[test]
    fn each_form_is_read_and_shown_as_it_was_written() {
        for text in [
            "file:/data/app/templates/index.html",
            "file:relative name",
            "tcp:db:5432",
            "tcp:[::1]:5432",
            "http://vote:5000/",
            "https://vote.default.svc/ready?deep=1",
        ] {
            let condition: Condition = text.parse().expect(text);
            assert_eq!(condition.to_string(), text);
            let json = serde_json::to_string(&condition).expect("a string");
            assert_eq!(serde_json::from_str::<Condition>(&json).expect("the same"), condition);
        }
        assert_eq!("file:///data/x".parse(), Ok(Condition::File("/data/x".into())));
        assert_eq!("tcp://db:1".parse::<Condition>(), "tcp:db:1".parse());
    }

    #[test]
    fn what_is_no_condition_is_told_what_was_expected() {
        let bad = |text: &str| text.parse::<Condition>().expect_err(text).to_string();
        assert!(bad("/data/ready").contains("expected file:PATH"));
        assert!(bad("vote:5000").contains("expected file:PATH"));
        assert!(bad("file:").contains("needs a path"));
        assert!(bad("file:/a\0b").contains("NUL"));
        assert!(bad("tcp:db").contains("HOST:PORT"));
        assert!(bad("tcp:::1:80").contains("brackets"));
        assert!(bad("http://").contains("URL"));
    }
}
