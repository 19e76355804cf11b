//! `logs --timestamps`: the time before each line. A hook that ran with `--timestamps` has it in its log. In any other log, each
//! line gets the time when its step began.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use super::lines_out::LinesOut;
use crate::support::times;
use crate::volume::frames::Frame;

/// The length of the time that a hook with `--timestamps` writes.
const LENGTH: usize = "2026-01-31T23:59:59.123456Z".len();

/// When parts of an attempt's output began.
pub(super) struct Times {
    /// Ascending offsets in the file, and the time from there on.
    parts: Vec<(u64, String)>,
}

impl Times {
    /// The start of each step; the attempt's own start for lines before the first step.
    pub(super) fn of(frame: &Frame) -> Self {
        let began = humantime::parse_rfc3339(&frame.started.at).unwrap_or(SystemTime::UNIX_EPOCH);
        let ended = frame.ended.as_ref();
        let steps = ended.map_or(&[][..], |ended| &ended.steps);
        let mut parts = vec![(0, times::of(began))];
        // Steps follow each other without a pause. The rest of the attempt's duration passed before the first one.
        let all: u64 = steps.iter().map(|step| step.duration_ms).sum();
        let opening = ended.map_or(0, |ended| ended.duration_ms.saturating_sub(all));
        let mut before = Duration::from_millis(opening);
        for step in steps {
            parts.push((frame.output.start + step.from, times::of(began + before)));
            before += Duration::from_millis(step.duration_ms);
        }
        Self { parts }
    }

    /// Writes `piece`, found at offset `at` of the file, with the time before each line. A piece may end within a line of more
    /// than [`LENGTH`] bytes.
    pub(super) fn stamp(&self, at: u64, piece: &[u8], out: &mut LinesOut<impl Write>) -> io::Result<()> {
        let mut at = at;
        for line in piece.split_inclusive(|&byte| byte == b'\n') {
            if !out.is_within_line() && !has_time(line) {
                let known = self.parts.partition_point(|(from, _)| *from <= at);
                let time = known.checked_sub(1).and_then(|known| self.parts.get(known));
                out.write_all(time.map_or("", |(_, time)| time).as_bytes())?;
                out.write_all(b" ")?;
            }
            out.write_all(line)?;
            at += line.len() as u64;
        }
        Ok(())
    }
}

/// Whether the hook has written the time before the line: `2026-01-31T23:59:59.123456Z `.
fn has_time(line: &[u8]) -> bool {
    let is_time = |text: &str| humantime::parse_rfc3339(text).is_ok();
    line.get(LENGTH) == Some(&b' ') && std::str::from_utf8(&line[..LENGTH]).is_ok_and(is_time)
}
