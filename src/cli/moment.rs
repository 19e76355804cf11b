//! A point in time as `--since` and `--until` take it.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::hook::duration::Timespan;

/// A point in time: a duration before now (`2h`), a date, or a time (RFC 3339).
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub SystemTime);

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(Timespan(ago)) = text.strip_suffix(" ago").unwrap_or(text).parse() {
            return Ok(Self(SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)));
        }
        let date = format!("{text}T00:00:00Z");
        let time = humantime::parse_rfc3339(&date).ok().or_else(|| with_zone(text));
        time.map(Self).ok_or_else(|| {
            format!("'{text}' is no time; expected so long ago (2h, 3d), a date (2026-01-31) or a time (2026-01-31T23:59:59Z)")
        })
    }
}

/// A time with its zone, as `date -Is` and `date --rfc-3339=seconds` print it.
fn with_zone(text: &str) -> Option<SystemTime> {
    if let Some(utc) = text.strip_suffix(['Z', 'z']) {
        return utc_time(utc);
    }
    let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let offset = Duration::from_secs(60 * (60 * hours + minutes));
    match zone.as_bytes().first()? {
        b'+' => utc_time(local)?.checked_sub(offset),
        b'-' => utc_time(local)?.checked_add(offset),
        _ => None,
    }
}

fn utc_time(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(&format!("{}Z", text.replace(' ', "T"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_date_prints_is_a_time() {
        let noon = humantime::parse_rfc3339("2026-11-28T12:00:00Z").expect("a time");
        for text in [
            "2026-11-28T12:00:00Z",
            "2026-11-28T14:00:00+02:00",
            "2026-11-28 07:30:00-04:30",
            "2026-11-28T12:00:00.000Z",
        ] {
            let moment: Moment = text.parse().expect(text);
            assert_eq!(moment.0, noon, "{text}");
        }
        assert!("2h ago".parse::<Moment>().is_ok() && "2h".parse::<Moment>().is_ok());
        for wrong in ["", "ago", "yesterday", "2026-11-28T12:00:00", "2026-11-28T12:00:00+2", "2026-13-01"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
