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
//! sends, lines may have gone with the old file while nobody was connected: that is reported, as a gap.

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
            self.connection.caught_up = true;
            // Where nothing was seen before, nothing can be missing that was promised.
            news.gap = !self.seen.is_empty();
        }
        if self.cut.take().is_some() {
            // The line that was cut does not go on: what comes is another one.
            news.gap = true;
        }
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
mod tests {
    use std::fmt::Write as _;

    use super::{Cursor, News, Stamp};

    fn text(cursor: &mut Cursor, log: &str) -> String {
        String::from_utf8(cursor.take(log.as_bytes()).bytes).expect("text")
    }

    const A: &str = "2026-01-01T00:00:10.000000001Z a\n";
    const B: &str = "2026-01-01T00:00:10.000000002Z b\n";
    const B2: &str = "2026-01-01T00:00:10.000000002Z b again\n";
    const C: &str = "2026-01-01T00:00:11.000000003Z c\n";

    #[test]
    fn times_are_taken_off_and_lines_kept_as_they_are() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.reconnect(), None);
        let log = [A, "2026-01-01T00:00:10.5Z \n", "2026-01-01T00:00:10.6Z  x y \n", C].concat();
        assert_eq!(text(&mut cursor, &log), "a\n\n x y \nc\n");
        assert_eq!(cursor.reconnect().as_deref(), Some("2026-01-01T00:00:10Z"));
    }

    #[test]
    fn lines_of_one_time_are_counted() {
        let mut cursor = Cursor::default();
        cursor.reconnect();
        assert_eq!(text(&mut cursor, &[A, B].concat()), "a\nb\n");
        cursor.reconnect();
        assert_eq!(text(&mut cursor, &[A, B, B2, C].concat()), "b again\nc\n");
        cursor.reconnect();
        assert_eq!(text(&mut cursor, &[A, B, B2, C].concat()), "");
    }

    #[test]
    fn a_line_whose_time_lies_before_its_predecessors_is_not_lost() {
        let mut cursor = Cursor::default();
        cursor.reconnect();
        assert_eq!(text(&mut cursor, B), "b\n");
        cursor.reconnect();
        assert_eq!(text(&mut cursor, &[B, A, C].concat()), "a\nc\n");
    }

    #[test]
    fn after_a_rotation_known_lines_are_passed_over_and_missing_ones_reported() {
        let mut cursor = Cursor::default();
        cursor.reconnect();
        text(&mut cursor, &[A, B].concat());
        cursor.reconnect();
        let news = cursor.take([B, C].concat().as_bytes());
        assert_eq!(
            news,
            News { bytes: b"c\n".to_vec(), ..News::default() },
            "the new file begins in the known part"
        );
        cursor.reconnect();
        let news = cursor.take(b"2026-01-01T00:00:19.000000001Z later\n");
        assert_eq!(news, News { bytes: b"later\n".to_vec(), gap: true, foreign: None });
    }

    #[test]
    fn a_line_that_never_goes_on_is_ended() {
        let mut cursor = Cursor::default();
        cursor.reconnect();
        assert_eq!(text(&mut cursor, "2026-01-01T00:00:10Z half"), "half");
        assert!(cursor.is_mid_line());
        cursor.reconnect();
        assert_eq!(cursor.take(C.as_bytes()), News { bytes: b"c\n".to_vec(), gap: true, foreign: None });
        assert!(!cursor.is_mid_line());
    }

    #[test]
    fn what_the_kubelet_says_in_place_of_the_log_is_not_the_containers() {
        let mut cursor = Cursor::default();
        cursor.reconnect();
        text(&mut cursor, A);
        cursor.reconnect();
        let news = cursor.take(b"unable to retrieve container logs for containerd://1");
        assert_eq!(news.foreign.as_deref(), Some("unable to retrieve container logs for containerd://1"));
        assert!(news.bytes.is_empty() && !cursor.caught_up());
        cursor.reconnect();
        assert_eq!(text(&mut cursor, &[A, B].concat()), "b\n");
        assert!(cursor.caught_up());
    }

    /// xorshift64 (Marsaglia): the same numbers each time.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % limit as u64).expect("below the limit")
        }
    }

    /// A log of lines whose times repeat and sometimes go back, and its text without the times.
    fn some_log(numbers: &mut Numbers, lines: usize) -> (Vec<String>, String) {
        let (mut stamped, mut plain) = (Vec::new(), String::new());
        let mut millis = 0;
        for number in 0..lines {
            millis += [0, 0, 1, 30, 700][numbers.below(5)];
            let back = if numbers.below(4) == 0 { numbers.below(3).min(millis) } else { 0 };
            let at = millis - back;
            let line = format!("line {number} {}\n", "x".repeat(numbers.below(60)));
            let mut whole = String::new();
            write!(
                whole,
                "2026-01-01T00:{:02}:{:02}.{:03}000000Z {line}",
                at / 60_000,
                at / 1000 % 60,
                at % 1000
            )
            .expect("a string");
            stamped.push(whole);
            plain += &line;
        }
        (stamped, plain)
    }

    #[test]
    fn nothing_is_lost_or_doubled_wherever_connections_break() {
        for seed in 1..200 {
            let mut numbers = Numbers(seed);
            let (lines, plain) = some_log(&mut numbers, 120);
            let mut cursor = Cursor::default();
            let (mut got, mut written) = (Vec::new(), 0);
            while got.len() < plain.len() {
                written = (written + numbers.below(40)).min(lines.len());
                let from = cursor.reconnect();
                let from = from.map(|from| Stamp::parse(from.as_bytes()).expect("a time"));
                let served: String = lines[..written]
                    .iter()
                    .filter(|line| {
                        let stamp = line.split(' ').next().and_then(|time| Stamp::parse(time.as_bytes()));
                        from <= stamp
                    })
                    .map(String::as_str)
                    .collect();
                let whole = written == lines.len() && numbers.below(3) == 0;
                let cut = if whole { served.len() } else { numbers.below(served.len() + 1) };
                let mut rest = &served.as_bytes()[..cut];
                while !rest.is_empty() {
                    let (piece, left) = rest.split_at(1 + numbers.below(rest.len().min(100)));
                    let news = cursor.take(piece);
                    assert!(!news.gap && news.foreign.is_none(), "seed {seed}");
                    got.extend(news.bytes);
                    rest = left;
                }
            }
            assert_eq!(String::from_utf8(got).expect("text"), plain, "seed {seed}");
        }
    }
}
