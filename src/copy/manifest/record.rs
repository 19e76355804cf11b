//! One line of a manifest: an entry of a directory as the image had it and, if different, as it was left on the volume.
//! Fields are separated by single spaces; the name comes last:
//!
//! ```text
//! f - 644 0 0 1234 1690000000.123456789 <blake3> - = index.html
//! │ │ │   │ │ │    │                    │        │ │ └ name, escaped
//! │ │ │   │ │ │    │                    │        │ └ as left: `=` the same, `-` absent, or size,mtime,mode,content
//! │ │ │   │ │ │    │                    │        └ digest of the extended attributes, `-` for none (and for what a
//! │ │ │   │ │ │    │                    │          directory had when they were not recorded yet)
//! │ │ │   │ │ │    │                    └ content: BLAKE3 of a file (with an `s` before it: without its holes), target
//! │ │ │   │ │ │    │                      of a link, `-` for a directory
//! │ │ │   │ │ │    └ mtime, seconds.nanoseconds
//! │ │ │   │ │ └ size in bytes
//! │ │ │   └─┴ uid, gid
//! │ │ └ permission bits, octal
//! │ └ flags: k kept for the user, a found on the volume (not installed), o no longer in the image, h left so by a
//! │ │   run that did not end well, x took no part in the copy that wrote this; `-` none
//! └ type: f, d, l
//! ```
//!
//! In names and link targets a backslash, a space and control characters are written as `\xHH`; every other byte
//! stands for itself, so any file name fits.

use std::borrow::Cow;
use std::io::Write as _;

use crate::copy::manifest::text::{
    Time, decimal, escape, octal, parse_time, unescape, write_octal, write_time,
};

/// The types that are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    Link,
}

/// BLAKE3 of a file's content, holes read as zeros: what b3sum(1) prints.
pub(crate) type Hash = [u8; 32];

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Hash(Hash),
    /// As `File`, but the hash leaves out large holes.
    Sparse(Hash),
    Target(Cow<'a, [u8]>),
    None,
}

/// How a file's content is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hashing {
    /// All bytes, as b3sum(1) does.
    Whole,
    /// Blocks of 64 KiB that are not all zeros, each preceded by its offset, then the size. Holes cost nothing.
    Sparse,
}

impl Hashing {
    pub(crate) fn content(self, hash: Hash) -> Content<'static> {
        match self {
            Self::Whole => Content::Hash(hash),
            Self::Sparse => Content::Sparse(hash),
        }
    }
}

impl Content<'_> {
    pub(crate) fn hashing(&self) -> Hashing {
        if matches!(self, Content::Sparse(_)) { Hashing::Sparse } else { Hashing::Whole }
    }

    pub(crate) fn into_owned(self) -> Content<'static> {
        match self {
            Content::Hash(hash) => Content::Hash(hash),
            Content::Sparse(hash) => Content::Sparse(hash),
            Content::Target(target) => Content::Target(Cow::Owned(target.into_owned())),
            Content::None => Content::None,
        }
    }
}

/// What makes two entries equal: type, size in bytes, content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) content: &'a Content<'a>,
}

/// How an entry was left on the volume, compared with the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Left<'a> {
    AsImage,
    Absent,
    Other { kind: Kind, size: u64, mtime: Time, mode: u32, content: Content<'a> },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// The user's version is on the volume. What was left before is still the base of comparison.
    pub(crate) kept: bool,
    /// It existed with the image's content before the first copy, and is never pruned.
    pub(crate) found: bool,
    /// An earlier release installed it; the image no longer has it.
    pub(crate) orphan: bool,
    /// A run that did not end well left it so: the next copy installs the image's version again.
    pub(crate) half_done: bool,
    /// It took no part in the copy that wrote this, and was not compared with the volume.
    pub(crate) left_out: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: Time,
    pub(crate) content: Content<'a>,
    pub(crate) xattrs: Option<u64>,
    pub(crate) left: Left<'a>,
    pub(crate) name: Cow<'a, [u8]>,
}

impl<'a> Record<'a> {
    /// A directory of which only the name is known so far.
    pub(crate) fn directory(name: &'a [u8]) -> Self {
        Self {
            kind: Kind::Dir,
            flags: Flags::default(),
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time::default(),
            content: Content::None,
            xattrs: None,
            left: Left::AsImage,
            name: Cow::Borrowed(name),
        }
    }
}

impl Record<'_> {
    pub(crate) fn into_owned(self) -> Record<'static> {
        Record {
            content: self.content.into_owned(),
            left: match self.left {
                Left::AsImage => Left::AsImage,
                Left::Absent => Left::Absent,
                Left::Other { kind, size, mtime, mode, content } => {
                    Left::Other { kind, size, mtime, mode, content: content.into_owned() }
                }
            },
            name: Cow::Owned(self.name.into_owned()),
            ..self
        }
    }

    pub(crate) fn payload(&self) -> Payload<'_> {
        Payload { kind: self.kind, size: self.size, content: &self.content }
    }

    /// What was left on the volume; `None` if nothing was.
    pub(crate) fn payload_left(&self) -> Option<Payload<'_>> {
        self.as_left().map(|(kind, size, _, _, content)| Payload { kind, size, content })
    }

    /// Type, size, mtime, mode and content as left; `None` if it was left absent.
    pub(crate) fn as_left(&self) -> Option<(Kind, u64, Time, u32, &Content<'_>)> {
        match &self.left {
            Left::AsImage => Some((self.kind, self.size, self.mtime, self.mode, &self.content)),
            Left::Absent => None,
            Left::Other { kind, size, mtime, mode, content } => Some((*kind, *size, *mtime, *mode, content)),
        }
    }

    /// Whether it was left with the image's content, whatever its metadata.
    pub(crate) fn is_left_as_image(&self) -> bool {
        self.as_left().is_some_and(|(kind, size, _, _, content)| {
            (kind, content) == (self.kind, &self.content) && (kind != Kind::File || size == self.size)
        })
    }

    /// Appends the line with its newline.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[kind_letter(self.kind), b' ']);
        let start = out.len();
        let Flags { kept, found, orphan, half_done, left_out } = self.flags;
        for (set, letter) in
            [(kept, b'k'), (found, b'a'), (orphan, b'o'), (half_done, b'h'), (left_out, b'x')]
        {
            if set {
                out.push(letter);
            }
        }
        if out.len() == start {
            out.push(b'-');
        }
        out.push(b' ');
        write_octal(self.mode, out);
        for number in [self.uid.into(), self.gid.into(), self.size] {
            out.push(b' ');
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        out.push(b' ');
        write_time(self.mtime, out);
        out.push(b' ');
        write_content(&self.content, out);
        match self.xattrs {
            // Writing to a Vec cannot fail.
            Some(digest) => _ = write!(out, " {digest:016x} "),
            None => out.extend_from_slice(b" - "),
        }
        match &self.left {
            Left::AsImage => out.push(b'='),
            Left::Absent => out.push(b'-'),
            Left::Other { kind, size, mtime, mode, content } => {
                out.push(kind_letter(*kind));
                let _ = write!(out, ",{size},");
                write_time(*mtime, out);
                out.push(b',');
                write_octal(*mode, out);
                out.push(b',');
                write_content(content, out);
            }
        }
        out.push(b' ');
        escape(&self.name, out);
        out.push(b'\n');
    }

    /// Parses a line without its newline.
    pub(crate) fn parse(line: &[u8]) -> Option<Record<'_>> {
        let mut fields = line.splitn(11, |b| *b == b' ');
        let mut next = || fields.next();
        let kind = parse_kind(next()?)?;
        let mut flags = Flags::default();
        for letter in next()? {
            match letter {
                b'k' => flags.kept = true,
                b'a' => flags.found = true,
                b'o' => flags.orphan = true,
                b'h' => flags.half_done = true,
                b'x' => flags.left_out = true,
                b'-' => {}
                _ => return None,
            }
        }
        let mode = octal(next()?)?;
        let uid = u32::try_from(decimal(next()?)?).ok()?;
        let gid = u32::try_from(decimal(next()?)?).ok()?;
        let size = decimal(next()?)?;
        let mtime = parse_time(next()?)?;
        let content = parse_content(kind, next()?)?;
        let xattrs = match next()? {
            b"-" => None,
            digits => Some(u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?),
        };
        let left = parse_left(next()?)?;
        let name = unescape(next()?)?;
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) || *name == *b"." || *name == *b".." {
            return None;
        }
        Some(Record { kind, flags, mode, uid, gid, size, mtime, content, xattrs, left, name })
    }
}

fn parse_left(field: &[u8]) -> Option<Left<'_>> {
    match field {
        b"=" => Some(Left::AsImage),
        b"-" => Some(Left::Absent),
        other => {
            let mut parts = other.splitn(5, |b| *b == b',');
            let kind = parse_kind(parts.next()?)?;
            Some(Left::Other {
                kind,
                size: decimal(parts.next()?)?,
                mtime: parse_time(parts.next()?)?,
                mode: octal(parts.next()?)?,
                content: parse_content(kind, parts.next()?)?,
            })
        }
    }
}

fn kind_letter(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'f',
        Kind::Dir => b'd',
        Kind::Link => b'l',
    }
}

fn parse_kind(field: &[u8]) -> Option<Kind> {
    Some(match field {
        b"f" => Kind::File,
        b"d" => Kind::Dir,
        b"l" => Kind::Link,
        _ => return None,
    })
}

fn write_content(content: &Content<'_>, out: &mut Vec<u8>) {
    match content {
        Content::Hash(hash) => out.extend_from_slice(blake3::Hash::from_bytes(*hash).to_hex().as_bytes()),
        Content::Sparse(hash) => {
            out.push(b's');
            out.extend_from_slice(blake3::Hash::from_bytes(*hash).to_hex().as_bytes());
        }
        Content::Target(target) => escape(target, out),
        Content::None => out.push(b'-'),
    }
}

fn parse_content(kind: Kind, field: &[u8]) -> Option<Content<'_>> {
    Some(match kind {
        Kind::Dir => Content::None,
        Kind::Link => Content::Target(unescape(field)?),
        Kind::File => match field.strip_prefix(b"s") {
            Some(field) => Content::Sparse(*blake3::Hash::from_hex(field).ok()?.as_bytes()),
            None => Content::Hash(*blake3::Hash::from_hex(field).ok()?.as_bytes()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &[u8]) -> Record<'_> {
        Record {
            kind: Kind::File,
            flags: Flags { kept: true, found: false, orphan: true, half_done: true, left_out: true },
            mode: 0o4755,
            uid: 0,
            gid: 65532,
            size: 1 << 40,
            mtime: (-1, 999_999_999),
            content: Content::Hash([0xa5; 32]),
            xattrs: Some(7),
            left: Left::Other {
                kind: Kind::Link,
                size: 3,
                mtime: (4_294_967_296, 1),
                mode: 0o777,
                content: Content::Target(Cow::Borrowed(b"a, b\n")),
            },
            name: Cow::Borrowed(name),
        }
    }

    #[test]
    fn a_record_of_any_name_reads_back_as_written() {
        let all: Vec<u8> = (1..=255).filter(|b| *b != b'/').collect();
        for name in [&b"plain"[..], b"with space", b"new\nline", b"\\x41", b"=", &all] {
            let record = record(name);
            let mut line = Vec::new();
            record.write(&mut line);
            assert!(line.ends_with(b"\n") && !line[..line.len() - 1].contains(&b'\n'));
            assert_eq!(Record::parse(&line[..line.len() - 1]).unwrap(), record);
        }
    }

    #[test]
    fn a_line_that_names_something_outside_is_refused() {
        for name in [&b".."[..], b"a/b", b"", b"a\\x2fb", b"a\\x00", b"a\\q"] {
            let mut line = Vec::new();
            record(b"N").write(&mut line);
            line.truncate(line.len() - 2);
            line.extend_from_slice(name);
            assert!(Record::parse(&line).is_none(), "{}", name.escape_ascii());
        }
    }
}
