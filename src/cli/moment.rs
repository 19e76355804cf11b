//! A point in time as `--since` and `--until` take it.

use std::str::FromStr;
use std::time::SystemTime;

use crate::hook::duration::Timespan;

/// A point in time: so long ago (`2h`), a date, or a time (RFC 3339).
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub SystemTime);

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(Timespan(ago)) = text.parse() {
            return Ok(Self(SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)));
        }
        let date = format!("{text}T00:00:00Z");
        let time = humantime::parse_rfc3339(text).or_else(|_| humantime::parse_rfc3339(&date));
        time.map(Self).map_err(|_| {
            format!("'{text}' is no time; expected so long ago (2h, 3d), a date (2026-01-31) or a time (2026-01-31T23:59:59Z)")
        })
    }
}
