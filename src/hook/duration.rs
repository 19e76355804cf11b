//! Durations as people write them: one type for all options, variables and keys.

use std::str::FromStr;
use std::time::Duration;

use crate::hook::file_value::form;

/// A duration, written `30s`, `4m`, `1h30m`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespan(pub Duration);

/// A duration that is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Duration);

/// The units with their milliseconds, in the order in which they must be written.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Maximum digits of a number, so that sums fit.
const DIGITS: usize = 9;
const PATTERN: &str = "(?=[0-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?";

form!(Timespan, "a duration such as 30s", PATTERN);
form!(Limit, "a duration such as 30s", format!("(?=[^1-9]*[1-9]){PATTERN}"));

impl FromStr for Timespan {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        read(text).map(|time| Self(Duration::from_millis(time))).ok_or_else(|| wrong(text))
    }
}

impl FromStr for Limit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let over = || {
            format!("{text} is over before anything has begun; give more, or leave it out for the default")
        };
        if text == "0" {
            return Err(over());
        }
        match text.parse()? {
            Timespan(Duration::ZERO) => Err(over()),
            Timespan(time) => Ok(Self(time)),
        }
    }
}

/// The milliseconds. Each unit may occur once, larger units first.
fn read(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut time = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, milliseconds) = units.find(|(name, _)| *name == unit)?;
        if number.len() > DIGITS {
            return None;
        }
        time += number.parse::<u64>().ok()? * milliseconds;
        rest = behind;
    }
    (!text.is_empty()).then_some(time)
}

/// The message for an invalid duration, with what was probably meant.
fn wrong(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("{text} has no unit; is {text}s meant?");
    }
    match meant(text) {
        Some(meant) => format!("'{text}' is no duration; is {meant} meant?"),
        None => {
            format!("'{text}' is no duration; expected numbers with ms, s, m, h or d, as in 30s or 1h30m")
        }
    }
}

/// Corrects capitals, spaces and long unit names, which other programs accept.
fn meant(text: &str) -> Option<String> {
    let mut plain: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    for (names, unit) in [
        (&["milliseconds", "millisecond", "millis", "msec"][..], "ms"),
        (&["seconds", "second", "secs", "sec"], "s"),
        (&["minutes", "minute", "mins", "min"], "m"),
        (&["hours", "hour", "hrs", "hr"], "h"),
        (&["days", "day"], "d"),
    ] {
        for name in names {
            plain = plain.replace(name, unit);
        }
    }
    read(&plain).map(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("4m", 240_000),
            ("1m30s", 90_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1s500ms", 1_500),
            ("2d", 172_800_000),
        ] {
            let time: Timespan = text.parse().expect(text);
            assert_eq!(time.0, Duration::from_millis(milliseconds), "{text}");
        }
        // As Go, and so Helm, prints them.
        assert_eq!("5m0s".parse::<Timespan>(), "5m".parse());
        assert_eq!("0s".parse(), Ok(Timespan(Duration::ZERO)));
    }

    #[test]
    fn the_right_form_of_a_wrong_duration_is_named() {
        for (text, expected) in [
            ("4M", "is 4m meant?"),
            ("300", "300 has no unit; is 300s meant?"),
            ("30 s", "is 30s meant?"),
            ("5 minutes", "is 5m meant?"),
            ("1H30M", "is 1h30m meant?"),
            ("4x", "expected numbers with ms, s, m, h or d, as in 30s"),
            ("", "expected numbers"),
            ("30m1h", "expected numbers"),
            ("1s1s", "expected numbers"),
            ("-1s", "expected numbers"),
            ("1.5h", "expected numbers"),
            ("9999999999s", "expected numbers"),
            ("s", "expected numbers"),
        ] {
            let message = text.parse::<Timespan>().expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
        assert!("0s".parse::<Limit>().expect_err("zero").contains("over before"));
    }
}
