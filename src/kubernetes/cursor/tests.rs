//! The position in a log against logs that break, repeat their times and are rotated.

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

#[test]
fn a_file_that_begins_in_the_middle_of_a_line_that_was_seen_doubles_nothing() {
    let mut cursor = Cursor::default();
    cursor.reconnect();
    text(&mut cursor, &[A, C].concat());
    cursor.reconnect();
    let rest = "2026-01-01T00:00:10.000000002Z the rest of a\n";
    let d = "2026-01-01T00:00:12.000000000Z d\n";
    let news = cursor.take([rest, C, d].concat().as_bytes());
    assert_eq!(news, News { bytes: b"d\n".to_vec(), ..News::default() });
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
