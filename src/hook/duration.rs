//! A length of time as people write it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::hook::scalar::scalar;

/// A length of time, written `30s`, `4m`, `1m30s`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespan(pub Duration);

impl FromStr for Timespan {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text) {
            Ok(duration) => Ok(Self(duration)),
            Err(cause) => {
                Err(format!("'{text}' is not a duration ({cause}); expected one such as 30s, 4m or 1m30s"))
            }
        }
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0).to_string().replace(' ', ""))
    }
}

scalar! {
    Timespan: "a duration such as 30s, 4m or 1m30s", "^([0-9]+ *(ms|s|m|h|d|[a-z]+) *)+$";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, seconds) in [("30s", 30), ("4m", 240), ("1m30s", 90)] {
            assert_eq!(text.parse::<Timespan>().unwrap().0, Duration::from_secs(seconds));
            assert_eq!(text.parse::<Timespan>().unwrap().to_string(), text);
        }
        assert!("30".parse::<Timespan>().is_err(), "a number without a unit is refused");
    }
}
