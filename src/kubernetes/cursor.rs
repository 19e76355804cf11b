//! Where in a container's log we are: takes the pieces of a log as they come from one connection after the
//! other, and says which bytes of them are new.
//!
//! Only bytes and times. Knows nothing of the API or of where the bytes go.
//!
//! The rule. The log is a file of lines with a time before each. Asking for it "since S" gives every line of
//! that file whose time is not before S, in the file's order. What was seen of the file is a beginning of it;
//! so the lines seen whose time is not before S are exactly what a new connection sends first, and they are
//! passed over by comparing times one after the other. Times may repeat and may go back a little (a
//! container's stdout and stderr are stamped by two threads), which is why the order is what counts, and why S
//! lies a second before the newest time. A line that was cut by the end of a connection is passed over up to
//! where it was cut.
//!
//! After a rotation the kubelet serves the new file alone. When the newest line seen is not among what it
//! sends, lines may have gone with the old file while nobody was connected: that is reported, as a gap. An answer
//! without any line proves no gap by itself: a file that was begun anew after the last line is empty.

use std::collections::VecDeque;

use super::stamp::{Stamp, since};

/// How far before the newest time a log is asked for, in seconds.
const OVERLAP: i64 = 1;
/// A time and its space are 36 bytes at most; what goes on longer without a space has no time.
const LONGEST_STAMP: usize = 40;
/// How much is kept of a line without a time, in bytes.
const LONGEST_FOREIGN: usize = 300;

/// The position in one container's log.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Times of the lines seen that a new connection would send again.
    seen: VecDeque<Stamp>,
    newest: Option<Stamp>,
    first: Option<Stamp>,
    /// Bytes seen of the last line in `seen`, while its end was not.
    cut: Option<u64>,
    connection: Connection,
}

/// What belongs to one connection.
#[derive(Debug, Default)]
struct Connection {
    /// How many of `seen` have been passed over; `None` before the first line.
    passed: Option<usize>,
    caught_up: bool,
    line: Line,
}

#[derive(Debug)]
enum Line {
    /// In its time: the bytes so far.
    Stamp(Vec<u8>),
    /// In a new line.
    New,
    /// In the line that was cut, so many bytes before what is new.
    Again(u64),
    /// In a line that was seen whole.
    Skip,
    /// In a line that is not the container's: its beginning.
    Foreign(Vec<u8>),
}

impl Default for Line {
    fn default() -> Self {
        Self::Stamp(Vec::new())
    }
}

/// What a piece of the log gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Bytes of the container's output that were not seen before.
    pub(super) bytes: Vec<u8>,
    /// Before these bytes, lines may be missing, or the rest of the line that was cut.
    pub(super) gap: bool,
    /// A line without a time, cut to a few hundred bytes: a message of the kubelet's in place of the log, or
    /// the rest of a line that began before what was asked for.
    pub(super) foreign: Option<String>,
}

impl Cursor {
    /// To be called before each new connection: what to ask for as `sinceTime`; `None` is all there is.
    pub(super) fn reconnect(&mut self) -> Option<String> {
        self.connection = Connection::default();
        let from = self.newest?.seconds - OVERLAP;
        self.forget_before(from);
        Some(since(from))
    }

    /// Whether the last line that was taken has no end yet.
    pub(super) fn is_mid_line(&self) -> bool {
        self.cut.is_some()
    }

    /// The time of the first line; `None` before it.
    pub(super) fn first(&self) -> Option<Stamp> {
        self.first
    }

    /// Whether this connection has come to the end of what was seen before.
    pub(super) fn caught_up(&self) -> bool {
        self.connection.caught_up || self.seen.is_empty()
    }

    /// Whether this connection has sent a line of the container's.
    pub(super) fn saw_lines(&self) -> bool {
        self.connection.passed.is_some() || self.connection.caught_up
    }

    /// Takes a piece as it came. Memory: the times of one to two seconds of lines.
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

    /// Reads the time at a line's beginning; returns what is left of the piece.
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
        // The space between the time and the line; a line break right after the time ends an empty line.
        rest.strip_prefix(b" ").unwrap_or(rest)
    }

    /// Says what a line with this time is: one that was seen, the one that was cut, or a new one.
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
                // A file that begins in the middle of a line gives the rest of it a time of its own; it was seen with
                // the line. Where it was not, the place where what was seen ends does not come either: a gap.
                return Line::Skip;
            }
            self.connection.caught_up = true;
            // Where nothing was seen before, nothing can be missing that was promised.
            news.gap = !self.seen.is_empty();
        }
        if self.cut.take().is_some() {
            // The line that was cut does not go on: what comes is another one.
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
