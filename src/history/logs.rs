//! `logs`: prints the preserved log of a run, or of some of its attempts, byte for byte.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use super::error::HistoryError;
use super::json;
use super::records::Records;
use super::select::Selection;

/// How an attempt is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Header, output and footer, as they stand in the log.
    Framed,
    /// The command's bytes alone.
    Raw,
    /// One JSON object a line.
    Json,
}

/// Prints the selected attempts. Returns what could not be printed, a sentence each.
pub fn print(
    records: &Records,
    selection: &Selection,
    form: Form,
    out: &mut impl Write,
) -> Result<Vec<String>, HistoryError> {
    let mut missing = records.problems.clone();
    for entry in selection.of(records)? {
        let started = &entry.attempt.started;
        let bytes = match records.bytes(entry) {
            Ok(bytes) => bytes,
            Err(error) => {
                missing.push(error.to_string());
                None
            }
        };
        if form == Form::Json {
            json::print(entry, bytes, out)?;
            continue;
        }
        let Some((mut file, frame)) = bytes else {
            missing.push(format!(
                "the log of run {}, attempt {}, is no longer kept{}",
                started.run,
                started.attempt,
                entry.attempt.ended.as_ref().map_or(String::new(), |ended| format!(
                    "; it ended with status {}: {}",
                    ended.status, ended.message
                ))
            ));
            continue;
        };
        let mut range = if form == Form::Raw { frame.output } else { frame.start..frame.end };
        let added = frame.ended.as_ref().is_some_and(|ended| ended.newline_added);
        if form == Form::Raw && added {
            range.end -= 1;
        }
        io::copy(&mut part(&mut file, range)?, out)?;
    }
    out.flush()?;
    Ok(missing)
}

/// The bytes of `range`.
pub(super) fn part(file: &mut File, range: Range<u64>) -> io::Result<impl Read> {
    file.seek(SeekFrom::Start(range.start))?;
    Ok(file.take(range.end - range.start))
}
