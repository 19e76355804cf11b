//! The position in a container's log: takes pieces of the log from one connection after another and says which bytes
//! are new. Only bytes and times; knows nothing of the API or of the sink.
//!
//! The log is a file of lines, each with a timestamp. A request "since S" returns every line of the file whose time is
//! not before S, in file order. What was seen of the file is a prefix of it. So a new connection first repeats exactly
//! those seen lines whose time is not before S; they are skipped by comparing times one by one. Times may repeat and
//! may go back a little (two threads stamp a container's stdout and stderr), which is why the order counts, and why S
//! lies a second before the newest time. A line that was cut by the end of a connection is skipped up to the cut.
//!
//! After a rotation the kubelet serves only the new file. If the newest seen line does not come again, lines may have
//! gone with the old file while nobody was connected: a gap. An answer without any line proves no gap: a file that was
//! just started is empty.

use std::collections::VecDeque;

use super::stamp::{Stamp, since};

/// How many seconds before the newest time a log is asked for.
const OVERLAP: i64 = 1;
/// Longer beginnings without a space hold no timestamp: one has at most 36 bytes with its space.
const LONGEST_STAMP: usize = 40;
/// How many bytes of a line without a timestamp are kept.
const LONGEST_FOREIGN: usize = 300;

/// The position in one container's log.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Times of seen lines that a new connection would repeat.
    seen: VecDeque<Stamp>,
    newest: Option<Stamp>,
    first: Option<Stamp>,
    /// Bytes seen of the last line in `seen`, if its end was not seen.
    cut: Option<u64>,
    connection: Connection,
}

/// State of one connection.
#[derive(Debug, Default)]
struct Connection {
    /// How many of `seen` were skipped; `None` before the first line.
    passed: Option<usize>,
    caught_up: bool,
    line: Line,
}

#[derive(Debug)]
enum Line {
    /// In its timestamp: the bytes so far.
    Stamp(Vec<u8>),
    /// In a new line.
    New,
    /// In the line that was cut, this many bytes before the cut.
    Again(u64),
    /// In a line that was seen whole.
    Skip,
    /// In a line that the container did not print: its beginning.
    Foreign(Vec<u8>),
}

impl Default for Line {
    fn default() -> Self {
        Self::Stamp(Vec::new())
    }
}

/// What a piece of the log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// The container's output that was not seen before.
    pub(super) bytes: Vec<u8>,
    /// Lines, or the rest of a cut line, may be missing before these bytes.
    pub(super) gap: bool,
    /// A line without a timestamp, cut to a few hundred bytes: a message of the kubelet in place of the log, or the
    /// rest of a line that began earlier.
    pub(super) foreign: Option<String>,
}

impl Cursor {
    /// Call before each new connection: returns its `sinceTime`, or `None` for the whole log.
    pub(super) fn reconnect(&mut self) -> Option<String> {
        self.connection = Connection::default();
        let from = self.newest?.seconds - OVERLAP;
        self.forget_before(from);
        Some(since(from))
    }

    /// Whether the last line is incomplete.
    pub(super) fn is_mid_line(&self) -> bool {
        self.cut.is_some()
    }

    /// The time of the first line seen.
    pub(super) fn first(&self) -> Option<Stamp> {
        self.first
    }

    /// Whether this connection has reached the end of what was seen before.
    pub(super) fn caught_up(&self) -> bool {
        self.connection.caught_up || self.seen.is_empty()
    }

    /// Whether this connection has sent a line of the container.
    pub(super) fn saw_lines(&self) -> bool {
        self.connection.passed.is_some() || self.connection.caught_up
    }

    /// Takes the next piece. Keeps the times of the last one to two seconds in memory.
    pub(super) fn take(&mut self, mut piece: &[u8]) -> News {
        let mut news = News::default();
        while !piece.is_empty() {
            piece = match std::mem::replace(&mut self.connection.line, Line::Skip) {
                Line::Stamp(begun) => self.stamp(begun, piece, &mut news),
                Line::Skip => {
                    let end = line_end(piece);
                    if end.is_some() {
                        self.connection.line = Line::default();
                    }
                    &piece[end.unwrap_or(piece.len())..]
                }
                Line::Foreign(mut text) => {
                    let end = line_end(piece);
                    let (part, rest) = piece.split_at(end.unwrap_or(piece.len()));
                    text.extend_from_slice(
                        &part[..part.len().min(LONGEST_FOREIGN.saturating_sub(text.len()))],
                    );
                    news.foreign = Some(String::from_utf8_lossy(&text).trim().into());
                    if end.is_none() {
                        self.connection.line = Line::Foreign(text);
                    } else {
                        self.connection.line = Line::default();
                    }
                    rest
                }
                Line::Again(old) => {
                    let skipped = piece.len().min(usize::try_from(old).unwrap_or(usize::MAX));
                    let left = old - skipped as u64;
                    self.connection.line = if left == 0 { Line::New } else { Line::Again(left) };
                    &piece[skipped..]
                }
                Line::New => {
                    let end = line_end(piece);
                    let (bytes, rest) = piece.split_at(end.unwrap_or(piece.len()));
                    news.bytes.extend_from_slice(bytes);
                    if end.is_some() {
                        self.cut = None;
                        self.connection.line = Line::default();
                    } else {
                        self.cut = Some(self.cut.unwrap_or_default() + bytes.len() as u64);
                        self.connection.line = Line::New;
                    }
                    rest
                }
            };
        }
        news
    }

    /// Reads the timestamp at the start of a line; returns the rest of the piece.
    fn stamp<'p>(&mut self, mut begun: Vec<u8>, piece: &'p [u8], news: &mut News) -> &'p [u8] {
        let end = piece.iter().position(|byte| matches!(byte, b' ' | b'\n'));
        let taken = end.unwrap_or(piece.len());
        begun.extend_from_slice(&piece[..taken]);
        if end.is_none() && begun.len() <= LONGEST_STAMP {
            self.connection.line = Line::Stamp(begun);
            return &[];
        }
        let rest = &piece[taken..];
        let Some(stamp) = Stamp::parse(&begun) else {
            self.connection.line = Line::Foreign(begun);
            return rest;
        };
        self.connection.line = self.place(stamp, news);
        // A space separates timestamp and line; an empty line has none.
        rest.strip_prefix(b" ").unwrap_or(rest)
    }

    /// Says whether a line with this time was seen, is the one that was cut, or is new.
    fn place(&mut self, stamp: Stamp, news: &mut News) -> Line {
        if !self.connection.caught_up {
            let from = self.connection.passed.unwrap_or_default();
            let found = self.seen.iter().skip(from).position(|seen| *seen == stamp).map(|at| from + at);
            if let Some(at) = found {
                self.connection.passed = Some(at + 1);
                let last = at + 1 == self.seen.len();
                self.connection.caught_up = last;
                return match self.cut {
                    Some(0) if last => Line::New,
                    Some(old) if last => Line::Again(old),
                    _ => Line::Skip,
                };
            }
            if self.newest.is_some_and(|newest| stamp < newest) {
                // A rotated file may begin within a line; the kubelet gives the rest a timestamp of its own. If that
                // line was seen, so was its rest. If not, the last seen line does not come again either, and the gap is
                // reported.
                return Line::Skip;
            }
            self.connection.caught_up = true;
            // If nothing was seen before, nothing is missing.
            news.gap = !self.seen.is_empty();
        }
        if self.cut.take().is_some() {
            // The cut line does not continue; this is another line.
            news.gap = true;
        }
        self.first.get_or_insert(stamp);
        self.seen.push_back(stamp);
        if self.newest.is_none_or(|newest| newest < stamp) {
            let new_second = self.newest.is_none_or(|newest| newest.seconds < stamp.seconds);
            self.newest = Some(stamp);
            if new_second {
                self.forget_before(stamp.seconds - OVERLAP);
            }
        }
        self.cut = Some(0);
        Line::New
    }

    fn forget_before(&mut self, second: i64) {
        self.seen.retain(|stamp| stamp.seconds >= second);
    }
}

/// The index after the first line break.
fn line_end(piece: &[u8]) -> Option<usize> {
    piece.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}

#[cfg(test)]
mod tests;
