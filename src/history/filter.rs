//! The part of an attempt's output that is asked for: a step, matching lines, the last lines. Reads in blocks, so that memory
//! does not grow with the output.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;

use regex_lite::Regex;

use crate::support::os::FileExt;

/// Bytes that are read at a time.
const BLOCK: usize = 64 << 10;
/// A longer line is taken in pieces of this size.
const LONGEST_LINE: usize = 1 << 20;

/// The part that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only the output of this step, counted from 1.
    pub step: Option<usize>,
    /// Only matching lines.
    pub grep: Option<Regex>,
    /// Only this many lines at the end.
    pub tail: Option<usize>,
}

/// Receives the bytes piece by piece, each with its offset in the file.
pub(super) type Sink<'a> = dyn FnMut(u64, &[u8]) -> io::Result<()> + 'a;

impl Filter {
    /// Passes the part of `ranges` that is asked for to `sink`.
    pub(super) fn pass(&self, file: &File, ranges: &[Range<u64>], sink: &mut Sink<'_>) -> io::Result<()> {
        match (&self.grep, self.tail) {
            (None, None) => ranges.iter().try_for_each(|range| pieces(file, range.clone(), sink)),
            (grep, Some(number)) => {
                let last = last_lines(file, ranges, grep.as_ref(), number)?;
                last.into_iter().try_for_each(|line| pieces(file, line, sink))
            }
            (Some(_), None) => self.pass_lines(file, ranges, sink),
        }
    }

    /// As [`Filter::pass`], line by line.
    pub(super) fn pass_lines(
        &self,
        file: &File,
        ranges: &[Range<u64>],
        sink: &mut Sink<'_>,
    ) -> io::Result<()> {
        if self.tail.is_some() {
            return self.pass(file, ranges, sink);
        }
        let is_wanted = |line: &[u8]| self.grep.as_ref().is_none_or(|grep| matches(grep, line));
        let mut pick = |at: u64, line: &[u8]| if is_wanted(line) { sink(at, line) } else { Ok(()) };
        ranges.iter().try_for_each(|range| lines(file, range.clone(), &mut pick))
    }

    /// Where the last lines of `range` begin; without `tail`, where `range` begins.
    pub(super) fn begin(&self, file: &File, range: Range<u64>) -> io::Result<u64> {
        let Some(number) = self.tail else { return Ok(range.start) };
        let end = range.end;
        Ok(last_lines(file, &[range], None, number)?.front().map_or(end, |line| line.start))
    }
}

fn matches(grep: &Regex, line: &[u8]) -> bool {
    grep.is_match(&String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)))
}

fn last_lines(
    file: &File,
    ranges: &[Range<u64>],
    grep: Option<&Regex>,
    number: usize,
) -> io::Result<VecDeque<Range<u64>>> {
    let mut last = VecDeque::new();
    let mut take = |at: u64, line: &[u8]| {
        if grep.is_none_or(|grep| matches(grep, line)) {
            last.push_back(at..at + line.len() as u64);
            if last.len() > number {
                last.pop_front();
            }
        }
        Ok(())
    };
    ranges.iter().try_for_each(|range| lines(file, range.clone(), &mut take))?;
    Ok(last)
}

/// The bytes of `range`, in blocks.
pub(super) fn pieces(file: &File, range: Range<u64>, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut at = range.start;
    while at < range.end {
        let wanted = usize::try_from(range.end - at).unwrap_or(BLOCK).min(BLOCK);
        match file.read_at(&mut block[..wanted], at)? {
            // The file has become shorter since it was measured.
            0 => break,
            read => {
                sink(at, &block[..read])?;
                at += read as u64;
            }
        }
    }
    Ok(())
}

/// The lines of `range` with their offsets, newlines included.
fn lines(file: &File, range: Range<u64>, each: &mut Sink<'_>) -> io::Result<()> {
    let mut line = Vec::new();
    let mut at = range.start;
    pieces(file, range, &mut |_, block| {
        for part in block.split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || line.len() >= LONGEST_LINE {
                each(at, &line)?;
                at += line.len() as u64;
                line.clear();
            }
        }
        Ok(())
    })?;
    if line.is_empty() { Ok(()) } else { each(at, &line) }
}
