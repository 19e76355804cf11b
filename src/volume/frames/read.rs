//! Reads the frames of a log from its end backwards.

use std::fs::File;
use std::io;

use serde::de::DeserializeOwned;

use super::frame::Frame;
use super::legacy;
use super::scan::{last_line_start, line_before, range};
use super::write::{CLOSE, FOOTER, OUTPUT, RECORD};
use crate::support::os::FileExt;
use crate::support::own::HEADER_START;
use crate::volume::record::{Ended, Started};

/// Enough for the beginning of a header and ten digits.
const FIRST_WORDS: usize = 64;
/// Limit of a header: its rows hold names of steps.
const LONGEST_HEADER: u64 = 4 << 20;

/// Whether `file` begins like a preserved log or contains an attempt: its beginning may have been overwritten.
pub fn is_log(file: &File) -> io::Result<bool> {
    let mut first = [0; FIRST_WORDS];
    let length = file.read_at(&mut first, 0)?;
    let title = first[..length].strip_prefix(HEADER_START.as_bytes()).unwrap_or_default();
    let digits = title.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let begins = digits > 0 && title[digits..].starts_with(b" of run ");
    Ok(begins || !read(file)?.is_empty())
}

/// The attempts of the log, in file order. Bytes before the first readable frame belong to no attempt; frames of
/// version 0.1 are recognized by their text.
pub fn read(file: &File) -> io::Result<Vec<Frame>> {
    let (mut end, mut before) = (file.metadata()?.len(), file.metadata()?.len());
    let mut frames = Vec::new();
    while let Some(line) = last_line_start(file, before, &[HEADER_START, CLOSE])? {
        before = line;
        let footer_end = line + CLOSE.len() as u64 + 1;
        let closed = if footer_end <= end { ended_at(file, footer_end)? } else { None };
        let found = match closed {
            Some(frame) => Some(frame),
            None => interrupted_at(file, line, end)?,
        };
        if let Some(frame) = found {
            before = frame.start;
            frames.push(Frame { end, ..frame });
            end = before;
        }
    }
    let mut all = if end > 0 { legacy::read(file, end)? } else { Vec::new() };
    frames.reverse();
    all.append(&mut frames);
    Ok(all)
}

fn ended_at(file: &File, end: u64) -> io::Result<Option<Frame>> {
    let Some((ended, record)) = record_before::<Ended>(file, end, CLOSE)? else { return Ok(None) };
    let Some(footer) = record.checked_sub(ended.above) else { return Ok(None) };
    let begins = range(file, footer, record.min(footer + FOOTER.len() as u64))?;
    let output_end = footer.checked_sub(ended.corrects).filter(|_| begins == FOOTER.as_bytes());
    let Some(output_end) = output_end else { return Ok(None) };
    let Some(output_start) = output_end.checked_sub(ended.output) else { return Ok(None) };
    let header = header_ending_at(file, output_start)?;
    let header = header.filter(|(started, _)| started.is_sealed_by(&ended));
    Ok(header.map(|(started, start)| Frame {
        started,
        ended: Some(ended),
        start,
        output: output_start..output_end,
        closed: end,
        end,
    }))
}

/// The attempt without a footer whose header begins at `start` and whose output ends at `end`.
fn interrupted_at(file: &File, start: u64, end: u64) -> io::Result<Option<Frame>> {
    let header = header_starting_at(file, start, end)?;
    Ok(header.map(|(started, output)| Frame {
        started,
        ended: None,
        start,
        output: output..end,
        closed: end,
        end,
    }))
}

/// The header whose last line ends at `end`, and where it begins.
fn header_ending_at(file: &File, end: u64) -> io::Result<Option<(Started, u64)>> {
    let Some((started, record)) = record_before::<Started>(file, end, OUTPUT)? else { return Ok(None) };
    let start = started.offset;
    let is_ours = start < record
        && range(file, start, record.min(start + HEADER_START.len() as u64))? == HEADER_START.as_bytes();
    Ok(is_ours.then_some((started, start)))
}

/// The header that begins at `start`, and where its output begins.
fn header_starting_at(file: &File, start: u64, end: u64) -> io::Result<Option<(Started, u64)>> {
    let bytes = range(file, start, end.min(start + LONGEST_HEADER))?;
    let marker = format!("\n{OUTPUT}\n");
    let Some(last) = bytes.windows(marker.len()).position(|window| window == marker.as_bytes()) else {
        return Ok(None);
    };
    let output = start + (last + marker.len()) as u64;
    let header = header_ending_at(file, output)?;
    Ok(header.filter(|(_, begins)| *begins == start).map(|(started, _)| (started, output)))
}

/// The record before the line `last`, which ends at `end`, and where the record's row begins.
fn record_before<T: DeserializeOwned>(file: &File, end: u64, last: &str) -> io::Result<Option<(T, u64)>> {
    let Some((last_line, text)) = line_before(file, end)? else { return Ok(None) };
    if text != last.as_bytes() {
        return Ok(None);
    }
    let Some((row, text)) = line_before(file, last_line)? else { return Ok(None) };
    let record = text.strip_prefix(RECORD.as_bytes()).and_then(|json| serde_json::from_slice(json).ok());
    Ok(record.map(|record| (record, row)))
}
