//! Times as all files and messages show them.

use std::time::{Duration, SystemTime};

/// The end of year 9999.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// Now: RFC 3339 in UTC, with microseconds.
pub(crate) fn now() -> String {
    of(SystemTime::now())
}

/// Any time, as [`now`]. A clock before 1970 or after 9999, which RFC 3339 cannot show, shows the nearest that it can.
pub(crate) fn of(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + since.min(LAST)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_shown_is_the_nearest_that_can() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(of(epoch - Duration::from_secs(5)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(of(epoch + 10 * LAST), "9999-12-31T23:59:59.000000Z");
    }
}
