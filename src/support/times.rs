//! Times as files and messages show them.

use std::time::{Duration, SystemTime};

/// The end of year 9999.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// The current time in RFC 3339, UTC, with microseconds.
pub(crate) fn now() -> String {
    of(SystemTime::now())
}

/// `time`, written as [`now`] writes it. RFC 3339 ends at the year 9999, and we start at 1970: a time outside is shown
/// as the nearest bound.
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
