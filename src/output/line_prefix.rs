//! Prefixes lines of the log file with times and stream marks (`--timestamps`, `--annotate`). Knows bytes and lines
//! only.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::stream::Stream;

/// Precedes a line from stderr.
const STDERR_MARK: &[u8] = b"stderr: ";

#[derive(Debug, Default)]
pub(super) struct LinePrefix {
    timestamps: bool,
    annotate: bool,
    last: Option<Stream>,
    out: Vec<u8>,
}

impl LinePrefix {
    pub(super) fn new(timestamps: bool, annotate: bool) -> Self {
        Self { timestamps, annotate, ..Self::default() }
    }

    pub(super) fn is_off(&self) -> bool {
        !self.timestamps && !self.annotate
    }

    /// `bytes` with prefixes. `mid_line`: the file does not end in a newline.
    pub(super) fn stamp(&mut self, bytes: &[u8], stream: Stream, mid_line: bool) -> &[u8] {
        self.out.clear();
        let mut mid_line = mid_line;
        // A mark stands at the start of a line, so a change of stream ends the line.
        if self.annotate && mid_line && self.last.is_some_and(|last| last != stream) {
            self.out.push(b'\n');
            mid_line = false;
        }
        self.last = Some(stream);
        let now = SystemTime::now();
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if !mid_line {
                if self.timestamps {
                    write_time(&mut self.out, now);
                }
                if self.annotate && stream == Stream::Stderr {
                    self.out.extend_from_slice(STDERR_MARK);
                }
            }
            self.out.extend_from_slice(line);
            mid_line = !line.ends_with(b"\n");
        }
        &self.out
    }
}

/// `2026-01-31T23:59:59.123456Z ` (RFC 3339, UTC). The date is computed in the 400-year era of 146097 days, with years
/// that start in March.
fn write_time(out: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (since.as_secs(), since.subsec_micros());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z ");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn shown(seconds: u64, micros: u32) -> String {
        let mut out = Vec::new();
        write_time(&mut out, UNIX_EPOCH + Duration::new(seconds, micros * 1000));
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn times_are_rfc_3339_with_microseconds() {
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00.000000Z ");
        assert_eq!(shown(951_782_400, 1), "2000-02-29T00:00:00.000001Z ");
        assert_eq!(shown(1_767_225_599, 999_999), "2025-12-31T23:59:59.999999Z ");
        assert_eq!(shown(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z ");
    }

    #[test]
    fn every_line_start_is_stamped_once_whatever_the_chunks() {
        let mut prefix = LinePrefix::new(false, true);
        let mut file = Vec::new();
        for (chunk, stream) in [
            (&b"a"[..], Stream::Stdout),
            (b"b\nc\n", Stream::Stdout),
            (b"x", Stream::Stderr),
            (b"y\nz", Stream::Stderr),
            (b"d\n", Stream::Stdout),
        ] {
            let mid_line = file.last().is_some_and(|&byte| byte != b'\n');
            file.extend_from_slice(prefix.stamp(chunk, stream, mid_line));
        }
        assert_eq!(file, b"ab\nc\nstderr: xy\nstderr: z\nd\n");
    }
}
