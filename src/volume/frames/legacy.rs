//! Reads logs of version 0.1, whose frames have no record and no lengths: they are recognized by their text. Only used
//! for such logs.

use std::fs::File;
use std::io;

use super::frame::Frame;
use super::scan::{last_line_start, line_before, range};
use super::write::FOOTER;
use crate::support::own::HEADER_START;
use crate::volume::record::{Ended, Started};

/// The line after the rows of a header.
const OUTPUT: &str = "\n--- output ---\n";
/// The last line of a footer.
const CLOSE: &str = "=== end of attempt ===";
/// Limit of a header or footer of version 0.1.
const LONGEST: u64 = 1 << 20;

/// The attempts in the first `end` bytes, which must begin with a header.
pub(super) fn read(file: &File, end: u64) -> io::Result<Vec<Frame>> {
    let mut frames: Vec<Frame> = Vec::new();
    let (mut end, mut before) = (end, end);
    while let Some(start) = last_line_start(file, before, &[HEADER_START])? {
        if let Some(frame) = frame(file, start, end)? {
            frames.push(frame);
            end = start;
        }
        before = start;
    }
    frames.reverse();
    Ok(if frames.first().is_some_and(|first| first.start == 0) { frames } else { Vec::new() })
}

/// The attempt between `start`, where its header begins, and `end`.
fn frame(file: &File, start: u64, end: u64) -> io::Result<Option<Frame>> {
    let head = range(file, start, end.min(start + LONGEST))?;
    let Some(rule) = head.windows(OUTPUT.len()).position(|window| window == OUTPUT.as_bytes()) else {
        return Ok(None);
    };
    let Some(started) = started(&String::from_utf8_lossy(&head[..rule]), start) else { return Ok(None) };
    let output = start + (rule + OUTPUT.len()) as u64;
    let is_closed = line_before(file, end)?.is_some_and(|(_, line)| line == CLOSE.as_bytes());
    let footer = if is_closed { last_line_start(file, end, &[FOOTER])? } else { None };
    let footer = footer.filter(|&footer| footer >= output && end - footer <= LONGEST);
    let ended = match footer {
        Some(footer) => ended(&String::from_utf8_lossy(&range(file, footer, end)?), &started),
        None => None,
    };
    let output_end = footer.filter(|_| ended.is_some()).unwrap_or(end);
    Ok(Some(Frame { started, ended, start, output: output..output_end, closed: end, end }))
}

fn started(header: &str, offset: u64) -> Option<Started> {
    let title = header.strip_prefix(HEADER_START)?.lines().next()?;
    let (attempt, rest) = title.split_once(" of run ")?;
    let at = row(header, "started").and_then(|text| text.split(' ').next()).unwrap_or_default();
    Some(Started {
        run: rest.split(' ').next()?.to_owned(),
        attempt: attempt.parse().ok()?,
        at: at.to_owned(),
        offset,
        ..Started::default()
    })
}

fn ended(footer: &str, started: &Started) -> Option<Ended> {
    let title = footer.lines().next()?;
    let status = if title.contains(" succeeded after ") {
        0
    } else {
        title.split(" failed with status ").nth(1)?.split(' ').next()?.parse().ok()?
    };
    Some(Ended {
        run: started.run.clone(),
        attempt: started.attempt,
        at: row(footer, "ended").unwrap_or_default().to_owned(),
        status,
        result: if status == 0 { "succeeded".into() } else { "failed".into() },
        message: row(footer, "failed").unwrap_or_default().to_owned(),
        ..Ended::default()
    })
}

fn row<'a>(frame: &'a str, name: &str) -> Option<&'a str> {
    frame.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
