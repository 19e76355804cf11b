//! The timestamps of a container's log lines, and `sinceTime`. Only values. The kubelet writes RFC 3339 with
//! nanoseconds, in the node's own time zone.

use std::time::{Duration, SystemTime, SystemTimeError};

/// A point in time: seconds since 1970 in UTC, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) seconds: i64,
    nanos: u32,
}

impl Stamp {
    /// Parses `2006-01-02T15:04:05.000000000Z`, or an offset such as `+02:00`; `None` for anything else.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (date, rest) = text.split_at_checked(19)?;
        let part = |from: usize, to: usize| number(&date[from..to]);
        if [date[4], date[7], date[10], date[13], date[16]] != *b"--T::" {
            return None;
        }
        let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
        let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (nanos, zone) = match rest.strip_prefix(b".") {
            None => (0, rest),
            Some(rest) => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (fraction, zone) = rest.split_at(digits);
                if !(1..=9).contains(&digits) {
                    return None;
                }
                let mut nine = *b"000000000";
                nine[..digits].copy_from_slice(fraction);
                (number(&nine)?, zone)
            }
        };
        let offset = match zone {
            b"Z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let seconds = (number(&[*h1, *h2])? * 60 + number(&[*m1, *m2])?) * 60;
                if *sign == b'-' { -seconds } else { seconds }
            }
            _ => return None,
        };
        let seconds = days(year, month, day) * 86_400 + (hour * 60 + minute) * 60 + second - offset;
        Some(Self { seconds, nanos: u32::try_from(nanos).ok()? })
    }

    /// Adds whole seconds.
    pub(super) fn later_by(self, time: Duration) -> Self {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Self { seconds: self.seconds.saturating_add(seconds), ..self }
    }
}

impl TryFrom<SystemTime> for Stamp {
    type Error = SystemTimeError;

    fn try_from(time: SystemTime) -> Result<Self, SystemTimeError> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Self { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() })
    }
}

/// `seconds` since 1970 in the form of the API's `sinceTime`: whole seconds, because the API server passes only those
/// on to the kubelet.
pub(super) fn since(seconds: i64) -> String {
    let time =
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    humantime::format_rfc3339_seconds(time).to_string()
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// Days from 1970-01-01 in the Gregorian calendar. Counts years from March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 153 days in every five months from March; 719468 days from March of year 0 to 1970.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::{Stamp, since};

    #[test]
    fn times_are_read_as_they_are_meant() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T12:00:00.5Z", 951_825_600, 500_000_000),
            ("2026-11-22T20:12:38.123456789Z", 1_795_378_358, 123_456_789),
            ("2026-11-22T22:12:38.000000001+02:00", 1_795_378_358, 1),
            ("2026-11-22T16:42:38.000000001-03:30", 1_795_378_358, 1),
            ("2024-12-31T23:59:59Z", 1_735_689_599, 0),
        ] {
            assert_eq!(Stamp::parse(text.as_bytes()), Some(Stamp { seconds, nanos }), "{text}");
            if text.ends_with('Z') {
                assert_eq!(since(seconds).get(..19), text.get(..19));
            }
        }
    }

    #[test]
    fn what_is_no_time_is_not_taken_for_one() {
        for text in [
            "",
            "2026",
            "2026-11-22 20:12:38Z",
            "2026-11-22T20:12:38",
            "2026-11-22T20:12:38.Z",
            "2026-11-22T20:12:38.1234567890Z",
            "2026-13-22T20:12:38Z",
            "2026-11-22T20:12:38+0200",
            "2o26-11-22T20:12:38Z",
        ] {
            assert_eq!(Stamp::parse(text.as_bytes()), None, "{text}");
        }
    }
}
