//! The HTTP statuses that meet a wait's condition.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::hook::file_value::{FileValue, number_or_form, scalar, whole_number};
use crate::hook::pattern::ascending;
use crate::hook::yaml::{Mistake, Node, ScalarKind};

/// Accepted statuses: one, or an inclusive range. The default, 200 to 399, is that of the kubelet's `httpGet` probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    low: u16,
    high: u16,
}

/// Text that is no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no HTTP status: expected one as 200, a range as 200-399, or a class as 2xx")]
pub struct StatusError(String);

impl Accepted {
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

impl FileValue for Accepted {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let expected = "an HTTP status: 200, 200-399 or 2xx";
        let written = scalar(node, expected)?;
        let text = match written.kind {
            ScalarKind::Number => whole_number(node, expected)?.to_string(),
            _ => written.text.clone(),
        };
        text.parse().map_err(|error: StatusError| node.mistake(error.to_string()))
    }

    fn schema() -> Value {
        let range = ascending("([1-5][0-9]{2})", 3, "-");
        let pattern = format!("[1-5](?:xx|[0-9]{{2}})|(?=[1-5][0-9]{{2}}-[1-5])(?:{range})");
        number_or_form(100, 599, &pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_number_a_range_or_a_class() {
        let read = |text: &str| text.parse::<Accepted>().expect(text);
        assert!(read("200").holds(200) && !read("200").holds(204));
        assert!(read("200-299").holds(204) && !read("200-299").holds(302));
        assert!(read("4xx").holds(404) && !read("4xx").holds(500));
        assert!(Accepted::default().holds(302) && !Accepted::default().holds(404));
        for bad in ["99", "600", "300-200", "ok", "20x", "-200", "+20", "0200"] {
            assert!(bad.parse::<Accepted>().is_err(), "{bad}");
        }
        for text in ["200", "200-399"] {
            assert_eq!(read(text).to_string(), text);
        }
    }
}
