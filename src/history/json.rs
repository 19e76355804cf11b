//! One attempt as a JSON object on a line. The output is written as it is read, in constant memory: as text where it is
//! UTF-8, in base64 where it is not, so that no byte is lost.

use std::fs::File;
use std::io::{self, Read, Write};

use serde::Serialize;

use super::logs::part;
use super::records::{Entry, State};
use crate::volume::frames::Frame;
use crate::volume::record::{Ended, Started};

/// Bytes that are read at a time; a multiple of three, so that pieces of base64 join.
const BLOCK: usize = 48 << 10;

/// What is printed of an attempt beside its output.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(flatten)]
    started: &'a Started,
    ended: Option<&'a Ended>,
    state: &'static str,
    interrupted: bool,
}

/// The word for how an attempt stands.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Ended => "ended",
        State::Running => "running",
        State::Interrupted => "interrupted",
        State::Unknown => "unknown",
    }
}

/// Prints the attempt; without `bytes` its output is null.
pub(super) fn print(entry: &Entry, bytes: Option<(File, Frame)>, out: &mut impl Write) -> io::Result<()> {
    let head = Head {
        started: &entry.attempt.started,
        ended: entry.attempt.ended.as_ref(),
        state: word(entry.state),
        interrupted: entry.state == State::Interrupted,
    };
    let text = serde_json::to_string(&head)?;
    out.write_all(text.strip_suffix('}').unwrap_or(&text).as_bytes())?;
    match bytes {
        None => out.write_all(b",\"output\":null")?,
        Some((mut file, frame)) => {
            let is_text = is_utf8(part(&mut file, frame.output.clone())?)?;
            let output = part(&mut file, frame.output)?;
            if is_text { print_text(output, out)? } else { print_base64(output, out)? }
        }
    }
    out.write_all(b"}\n")
}

fn is_utf8(mut bytes: impl Read) -> io::Result<bool> {
    let mut valid = true;
    pieces(&mut bytes, |piece, last| {
        let whole = complete(piece).len();
        // Bytes after the last whole character are the beginning of one, or of nothing.
        valid &= std::str::from_utf8(&piece[..whole]).is_ok() && !(last && whole < piece.len());
        Ok(whole)
    })?;
    Ok(valid)
}

fn print_text(mut bytes: impl Read, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b",\"output\":\"")?;
    pieces(&mut bytes, |piece, _| {
        let whole = complete(piece).len();
        let text = serde_json::to_string(&String::from_utf8_lossy(&piece[..whole]))?;
        out.write_all(&text.as_bytes()[1..text.len() - 1])?;
        Ok(whole)
    })?;
    out.write_all(b"\"")
}

fn print_base64(mut bytes: impl Read, out: &mut impl Write) -> io::Result<()> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.write_all(b",\"output_base64\":\"")?;
    pieces(&mut bytes, |piece, last| {
        let whole = if last { piece.len() } else { piece.len() / 3 * 3 };
        let mut text = Vec::with_capacity(whole / 3 * 4 + 4);
        for three in piece[..whole].chunks(3) {
            let number = three.iter().fold(0_u32, |number, &byte| number << 8 | u32::from(byte))
                << (8 * (3 - three.len()));
            for place in 0..4 {
                let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
                text.push(if place > three.len() { b'=' } else { digit });
            }
        }
        out.write_all(&text)?;
        Ok(whole)
    })?;
    out.write_all(b"\"")
}

/// Gives the bytes piece by piece, and whether it is the last; what `take` does not take comes again with the next.
fn pieces(bytes: &mut impl Read, mut take: impl FnMut(&[u8], bool) -> io::Result<usize>) -> io::Result<()> {
    let mut piece = Vec::with_capacity(2 * BLOCK);
    loop {
        let read = bytes.by_ref().take(BLOCK as u64).read_to_end(&mut piece)?;
        let last = read < BLOCK;
        let taken = take(&piece, last)?;
        piece.drain(..taken);
        if last {
            return Ok(());
        }
    }
}

/// `bytes` without the beginning of a character at their end.
fn complete(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_what_rfc_4648_says() {
        // RFC 4648, section 10.
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let mut out = Vec::new();
            print_base64(bytes.as_bytes(), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!(",\"output_base64\":\"{text}\""));
        }
    }

    #[test]
    fn a_character_across_the_border_of_two_pieces_is_text() {
        let text = "x".repeat(BLOCK - 1) + "é" + &"y".repeat(BLOCK);
        assert!(is_utf8(text.as_bytes()).unwrap());
        let mut out = Vec::new();
        print_text(text.as_bytes(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!(",\"output\":\"{text}\""));
        assert!(!is_utf8(&text.as_bytes()[..BLOCK]).unwrap());
        assert!(!is_utf8(&b"a\xffb"[..]).unwrap());
    }
}
