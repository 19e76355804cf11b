//! Reads parts of a log: lines, ranges, and the last occurrence of a text.

use std::fs::File;
use std::io;

use memchr::memmem::FinderRev;

use crate::support::os::FileExt;

/// How many bytes are read first to find the start of a line.
const FIRST_LOOK: u64 = 512;
const LONGEST_LINE: u64 = 4 << 20;
/// Bytes per read in a search.
const BLOCK: u64 = 1 << 20;

pub(super) fn range(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(to.saturating_sub(from)).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

/// The line that ends at `end`, without its newline, and where it begins. `None` if no line of a frame ends there.
pub(super) fn line_before(file: &File, end: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut look = FIRST_LOOK;
    loop {
        let from = end.saturating_sub(look);
        let bytes = range(file, from, end)?;
        let Some(line) = bytes.strip_suffix(b"\n") else { return Ok(None) };
        let start = match line.iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => newline + 1,
            None if from == 0 => 0,
            None if look < LONGEST_LINE => {
                look *= 8;
                continue;
            }
            None => return Ok(None),
        };
        return Ok(Some((from + start as u64, line[start..].to_vec())));
    }
}

/// The last line start before `end` at which one of the texts `wanted` occurs.
pub(super) fn last_line_start(file: &File, end: u64, wanted: &[&str]) -> io::Result<Option<u64>> {
    let mut end = end;
    let longest = wanted.iter().map(|text| text.len()).max().unwrap_or(0) as u64;
    let finders: Vec<_> = wanted.iter().map(FinderRev::new).collect();
    let mut block = FIRST_LOOK;
    loop {
        let from = end.saturating_sub(block);
        block = (block * 8).min(BLOCK);
        let bytes = range(file, from, end)?;
        let at_line_start = |at: usize| match at {
            0 => from == 0,
            _ => bytes[at - 1] == b'\n',
        };
        let last =
            finders.iter().filter_map(|finder| finder.rfind_iter(&bytes).find(|&at| at_line_start(at))).max();
        match last {
            Some(at) => return Ok(Some(from + at as u64)),
            None if from == 0 => return Ok(None),
            // An occurrence across the border is found in the next block.
            None => end = from + longest + 1,
        }
    }
}
