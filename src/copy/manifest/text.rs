//! The text form of numbers, times and names in a manifest.

use std::borrow::Cow;

/// Seconds and nanoseconds since the epoch; seconds may be negative.
pub(crate) type Time = (i64, u32);

pub(super) fn write_time((seconds, nanoseconds): Time, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
    out.push(b'.');
    // The leading 1 keeps the zeros; it is cut off.
    out.extend_from_slice(&itoa::Buffer::new().format(1_000_000_000 + nanoseconds).as_bytes()[1..]);
}

/// Permission bits, without leading zeros.
pub(super) fn write_octal(mode: u32, out: &mut Vec<u8>) {
    let digits = [9, 6, 3, 0].map(|shift| b"01234567"[mode as usize >> shift & 7]);
    let zeros = digits[..3].iter().take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(&digits[zeros..]);
}

pub(super) fn parse_time(field: &[u8]) -> Option<Time> {
    let dot = field.iter().position(|b| *b == b'.')?;
    let (negative, digits) = match field.first()? {
        b'-' => (true, &field[1..dot]),
        _ => (false, &field[..dot]),
    };
    let seconds = i64::try_from(decimal(digits)?).ok()?;
    let nanoseconds = u32::try_from(decimal(&field[dot + 1..])?).ok().filter(|n| *n < 1_000_000_000)?;
    Some((if negative { -seconds } else { seconds }, nanoseconds))
}

pub(super) fn decimal(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0u64, |n, b| {
        b.is_ascii_digit().then(|| n.checked_mul(10)?.checked_add(u64::from(b - b'0'))).flatten()
    })
}

pub(super) fn octal(field: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(field).ok()?, 8).ok().filter(|mode| *mode <= 0o7777)
}

fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 15)]
}

fn unhex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok())
}

pub(crate) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let special = |byte: u8| byte <= b' ' || byte == b'\\' || byte == 0x7f;
    if !bytes.iter().any(|byte| special(*byte)) {
        return out.extend_from_slice(bytes);
    }
    for &byte in bytes {
        if special(byte) {
            out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte & 15)]);
        } else {
            out.push(byte);
        }
    }
}

/// The reverse of [`escape`]; `None` for text that [`escape`] never writes.
pub(crate) fn unescape(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.contains(&b'\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'\\' {
            let [b'x', high, low, tail @ ..] = rest else { return None };
            bytes.push(unhex(*high)? << 4 | unhex(*low)?);
            rest = tail;
        } else {
            bytes.push(first);
        }
    }
    Some(Cow::Owned(bytes))
}
