//! Durations as people read them.

use std::time::Duration;

/// `34ms`, `12.3s`, `20s`, `4m05s`, `2h`, `3d04h`: at most two units, the rest cut off.
pub(crate) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, below: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small:02}{below}") }
    };
    match seconds {
        0 => format!("{}ms", duration.subsec_millis()),
        1..60 => match duration.subsec_millis() / 100 {
            0 => format!("{seconds}s"),
            tenths => format!("{seconds}.{tenths}s"),
        },
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_with_two_units_at_most() {
        for (milliseconds, text) in [
            (0, "0ms"),
            (34, "34ms"),
            (999, "999ms"),
            (1000, "1s"),
            (12_345, "12.3s"),
            (20_000, "20s"),
            (59_999, "59.9s"),
            (60_000, "1m"),
            (245_000, "4m05s"),
            (7_200_000, "2h"),
            (7_260_000, "2h01m"),
            (273_600_000, "3d04h"),
        ] {
            assert_eq!(shown(Duration::from_millis(milliseconds)), text);
        }
    }
}
