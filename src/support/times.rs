//! Points in time as all files and messages write them.

use std::time::SystemTime;

/// Now: RFC 3339 in UTC, with microseconds.
pub(crate) fn now() -> String {
    of(SystemTime::now())
}

/// Any time, as [`now`].
pub(crate) fn of(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}
