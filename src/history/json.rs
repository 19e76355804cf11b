//! `logs --json`: one object per attempt with its output, which is never held in memory as a whole. Output that is not UTF-8
//! becomes `output_base64` in place of `output`, so that no byte is lost.

use std::io::{self, Write};

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use serde::Serialize;

/// Passes the output in pieces to the function that it is called with.
pub(super) type Output<'a> = dyn Fn(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> + 'a;

/// Prints `row` with the `output`. It is read twice, because the name of its field depends on whether it is UTF-8. `None`: the
/// output is no longer kept.
pub(super) fn print(
    row: &impl Serialize,
    output: Option<&Output<'_>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let text = serde_json::to_string(row).map_err(io::Error::from)?;
    write!(out, "{},", text.strip_suffix('}').unwrap_or(&text))?;
    let Some(output) = output else { return writeln!(out, "\"output\":null}}") };
    let mut check = Utf8::default();
    output(&mut |piece| check.push(piece, &mut |_| Ok(())))?;
    if check.is_text() {
        write!(out, "\"output\":\"")?;
        let mut text = Utf8::default();
        output(&mut |piece| text.push(piece, &mut |part| escape(part, out)))?;
    } else {
        write!(out, "\"output_base64\":\"")?;
        let mut base64 = EncoderWriter::new(&mut *out, &STANDARD);
        output(&mut |piece| base64.write_all(piece))?;
        base64.finish()?;
    }
    writeln!(out, "\"}}")
}

/// The text as the inside of a JSON string.
fn escape(text: &str, out: &mut dyn Write) -> io::Result<()> {
    let quoted = serde_json::to_string(text).map_err(io::Error::from)?;
    out.write_all(quoted.as_bytes().get(1..quoted.len() - 1).unwrap_or_default())
}

/// Decodes text whose pieces may end within a character.
#[derive(Default)]
struct Utf8 {
    held: Vec<u8>,
    broken: bool,
}

impl Utf8 {
    fn push(&mut self, piece: &[u8], each: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        self.held.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&self.held) {
            Ok(_) => self.held.len(),
            Err(error) => {
                self.broken |= error.error_len().is_some();
                error.valid_up_to()
            }
        };
        each(std::str::from_utf8(&self.held[..whole]).unwrap_or_default())?;
        self.held.drain(..whole);
        if self.broken {
            self.held.clear();
        }
        Ok(())
    }

    fn is_text(&self) -> bool {
        !self.broken && self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In pieces of every size, so that each character is cut at each place.
    fn printed(bytes: &[u8], size: usize) -> serde_json::Value {
        let mut out = Vec::new();
        let output = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| bytes.chunks(size).try_for_each(sink);
        let row = std::collections::BTreeMap::from([("run", "a")]);
        print(&row, Some(&output), &mut out).expect("written");
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn text_stays_text_wherever_the_pieces_end() {
        let text = "a\"\\\n\t\u{1b}[31mß投𝄞\u{0}";
        for size in 1..20 {
            assert_eq!(printed(text.as_bytes(), size)["output"], text);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_as_base64() {
        for (bytes, base64) in
            [(&b"\xff"[..], "/w=="), (b"ab\xff", "YWL/"), (b"\xc3", "ww=="), (b"\xffab\x00", "/2FiAA==")]
        {
            for size in 1..5 {
                assert_eq!(printed(bytes, size)["output_base64"], base64);
            }
        }
    }
}
