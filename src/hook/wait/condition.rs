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

/// The statuses that count as an answer: one, or a range with both ends in it.
///
/// The default, 200 to 399, is what the kubelet's `httpGet` probes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    low: u16,
    high: u16,
}

/// Text that is no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no HTTP status: expected one as 200, a range as 200-399, or a class as 2xx")]
pub struct StatusError(String);

impl Accepted {
    /// Whether `status` counts.
    pub fn holds(self, status: u16) -> bool {
        (self.low..=self.high).contains(&status)
    }
}

impl Default for Accepted {
    fn default() -> Self {
        Self { low: 200, high: 399 }
    }
}

impl FromStr for Accepted {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let wrong = || StatusError(text.into());
        let status = |text: &str| -> Result<u16, StatusError> {
            let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|status| digits && (100..=599).contains(status)).ok_or_else(wrong)
        };
        if let Some(class) = text.strip_suffix("xx") {
            let low = status(&format!("{class}00"))?;
            return Ok(Self { low, high: low + 99 });
        }
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let (low, high) = (status(low)?, status(high)?);
        if low > high { Err(wrong()) } else { Ok(Self { low, high }) }
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}-{}", self.low, self.high)
        }
    }
}

impl Serialize for Accepted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.low == self.high { serializer.serialize_u16(self.low) } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Accepted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = Accepted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an HTTP status: 200, 200-399 or 2xx")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Accepted, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Accepted, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Accepted, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

#[cfg(test)]
mod tests {
    use super::{Accepted, Condition};

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

    #[test]
    fn a_status_is_a_number_a_range_or_a_class() {
        let read = |json: &str| serde_json::from_str::<Accepted>(json).expect(json);
        assert!(read("200").holds(200) && !read("200").holds(204));
        assert!(read("\"200-299\"").holds(204) && !read("\"200-299\"").holds(302));
        assert!(read("\"4xx\"").holds(404) && !read("\"4xx\"").holds(500));
        assert!(Accepted::default().holds(302) && !Accepted::default().holds(404));
        for bad in ["99", "600", "\"300-200\"", "\"ok\"", "\"20x\"", "-200", "\"+20\"", "\"0200\""] {
            assert!(serde_json::from_str::<Accepted>(bad).is_err(), "{bad}");
        }
        for text in ["200", "200-399"] {
            assert_eq!(text.parse::<Accepted>().expect(text).to_string(), text);
        }
    }
}
