//! Logs that version 0.1 wrote: their frames hold no record and no lengths, so they are known by their looks only.

use std::fs::File;
use std::io;

use super::frame::Frame;
use super::scan::range;
use super::write::{CLOSE, FOOTER, OPEN, OUTPUT};
use crate::volume::record::{Ended, Started};

/// More than version 0.1 was ever seen to write is not looked through.
const MOST: u64 = 256 << 20;

/// The attempts in the first `end` bytes.
pub(super) fn read(file: &File, end: u64) -> io::Result<Vec<Frame>> {
    let bytes = range(file, 0, end.min(MOST))?;
    let text = String::from_utf8_lossy(&bytes);
    // Lossy text may be longer than the bytes; then places would be wrong.
    if text.len() as u64 != end || !text.starts_with(OPEN) {
        return Ok(Vec::new());
    }
    let starts: Vec<usize> = headers(&text);
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    Ok(starts.iter().zip(ends).filter_map(|(&start, end)| frame(&text, start, end)).collect())
}

fn headers(text: &str) -> Vec<usize> {
    let at_line_start = |at: usize| at == 0 || text.as_bytes()[at - 1] == b'\n';
    text.match_indices(OPEN).map(|(at, _)| at).filter(|&at| at_line_start(at)).collect()
}

fn frame(text: &str, start: usize, end: usize) -> Option<Frame> {
    let part = &text[start..end];
    let title = part.strip_prefix(OPEN)?.lines().next()?;
    let (attempt, rest) = title.split_once(" of run ")?;
    let run = rest.split([' ', '\n']).next()?.to_owned();
    let attempt: u32 = attempt.parse().ok()?;
    let output = part.find(&format!("\n{OUTPUT}\n"))? + OUTPUT.len() + 2;
    let row = |name: &str| part[..output].lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let at = row("started").and_then(|text| text.split(' ').next()).unwrap_or_default().to_owned();
    let started = Started { run, attempt, at, offset: start as u64, ..Started::default() };
    let footer = part.trim_end().ends_with(CLOSE).then(|| part.rfind(&format!("\n{FOOTER}"))).flatten();
    let footer = footer.map_or(part.len(), |at| (at + 1).max(output));
    Some(Frame {
        ended: ended(&part[footer..], &started, (footer - output) as u64),
        started,
        start: start as u64,
        output: (start + output) as u64..(start + footer) as u64,
        end: end as u64,
    })
}

fn ended(footer: &str, started: &Started, output: u64) -> Option<Ended> {
    let title = footer.lines().next()?.strip_prefix("--- ")?;
    let status = if title.contains(" succeeded after ") {
        0
    } else {
        title.split(" failed with status ").nth(1)?.split(' ').next()?.parse().ok()?
    };
    let row = |name: &str| {
        footer.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned())
    };
    Some(Ended {
        run: started.run.clone(),
        attempt: started.attempt,
        at: row("ended").unwrap_or_default(),
        status,
        result: if status == 0 { "succeeded".into() } else { "failed".into() },
        message: row("failed").unwrap_or_default(),
        output,
        ..Ended::default()
    })
}
