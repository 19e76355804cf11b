//! The segments in which `--max-log` keeps the end of an attempt's output, beside the log: their names, their first
//! line, and the marker in the log where bytes are left out. The writer (`output/`) and the readers (`volume/`,
//! `history/`) share it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};

/// First line of a segment: name, version, output bytes before this segment, output bytes in the log's first part.
const MAGIC: &str = "hook-runner-tail 1";

/// A segment, read up to the end of its first line.
pub(crate) struct Segment<F> {
    pub(crate) file: F,
    /// Output bytes before this segment.
    pub(crate) start: u64,
    /// Output bytes in the log's first part.
    pub(crate) head: u64,
}

/// The two segments of a log, which are written in turn.
pub(crate) fn names(log_name: &OsStr) -> [OsString; 2] {
    ["0", "1"].map(|turn| {
        let mut name = OsString::from("tail-");
        name.push(log_name);
        name.push(".");
        name.push(turn);
        name
    })
}

pub(crate) fn first_line(start: u64, head: u64) -> String {
    format!("{MAGIC} {start} {head}\n")
}

/// The line in the log that says how many bytes are left out.
pub(crate) fn marker(left_out: u64) -> String {
    format!("\nhook-runner: {left_out} bytes are left out here (max-log)\n")
}

/// Reads the first line. `None` where the write of that line was cut short.
pub(crate) fn parse_segment<F: Read>(mut file: F) -> io::Result<Option<Segment<F>>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 128 && file.read(&mut byte)? == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    let parse = || {
        let mut numbers = std::str::from_utf8(&line).ok()?.strip_prefix(MAGIC)?.split_ascii_whitespace();
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    };
    Ok((byte == *b"\n").then(parse).flatten().map(|(start, head)| Segment { file, start, head }))
}

pub(crate) fn append_all(mut file: impl Read, mut append: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => append(&buffer[..n]),
        }
    }
}
