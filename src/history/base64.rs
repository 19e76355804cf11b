//! Base64 in pieces (RFC 4648, with padding).

use std::io::{self, Write};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes bytes that come in pieces of any size.
#[derive(Default)]
pub(super) struct Base64 {
    held: Vec<u8>,
}

impl Base64 {
    pub(super) fn push(&mut self, piece: &[u8], out: &mut dyn Write) -> io::Result<()> {
        self.held.extend_from_slice(piece);
        let whole = self.held.len() / 3 * 3;
        let text: Vec<u8> =
            self.held.drain(..whole).collect::<Vec<u8>>().chunks(3).flat_map(encoded).collect();
        out.write_all(&text)
    }

    pub(super) fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.held.is_empty() { Ok(()) } else { out.write_all(&encoded(&self.held)) }
    }
}

/// All of `bytes` at once.
pub(super) fn base64(bytes: &[u8]) -> String {
    bytes.chunks(3).flat_map(encoded).map(char::from).collect()
}

fn encoded(bytes: &[u8]) -> [u8; 4] {
    let byte = |at: usize| usize::from(bytes.get(at).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    let digit = |at: usize| if at <= bytes.len() { ALPHABET[bits >> (18 - 6 * at) & 63] } else { b'=' };
    [digit(0), digit(1), digit(2), digit(3)]
}
