//! Compares an entry of the volume with a record or the image.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::copy::io::lacks::Lacks;
use crate::copy::io::metadata::time_of;
use crate::copy::io::transfer::{self, Failed};
use crate::copy::manifest::{Content, Hashing, Kind, Left, Manifest, Payload, Record, Time};
use crate::copy::tree::version::Version;

/// How to record a file with the image's content and perhaps other metadata.
pub(crate) fn seen(stat: &Stat, version: &Version<'_>) -> Left<'static> {
    if (time_of(stat), stat.st_mode & 0o7777) == (version.meta.mtime, version.meta.mode) {
        return Left::AsImage;
    }
    Left::Other {
        kind: version.kind,
        size: version.size,
        mtime: time_of(stat),
        mode: stat.st_mode & 0o7777,
        content: version.content.clone().into_owned(),
    }
}

pub(crate) fn meta_changed(record: &Record<'_>, version: &Version<'_>) -> bool {
    (record.mode, record.uid, record.gid, record.mtime)
        != (version.meta.mode, version.meta.uid, version.meta.gid, version.meta.mtime)
}

/// How to compare the volume with a manifest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Baseline {
    /// When the manifest came into force.
    pub(crate) written: Time,
    /// When the records that took no part in its copy were last compared.
    pub(crate) compared: Time,
    pub(crate) lacks: Lacks,
}

impl Baseline {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let lacks = manifest.head.lacks.as_deref().map(Lacks::parse).unwrap_or_default();
        let compared = manifest.head.compared.unwrap_or(manifest.written);
        Self { written: manifest.written, compared, lacks }
    }

    /// Believes size and mtime even if the file was touched since (`--trust-mtime`).
    pub(crate) fn trusted(self) -> Self {
        Self { written: (i64::MAX, 0), compared: (i64::MAX, 0), ..self }
    }
}

/// The result of a comparison without reading content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    AsLeft,
    /// Unclear: the content has to be read.
    Ask,
    Other,
}

/// Compares type, size and mtime, or a link's target, with what was left. If a file's ctime is not before the record was
/// last compared, it was touched since, and its size and mtime prove nothing.
pub(crate) fn looks_as_left(
    made: Option<&OwnedFd>,
    name: &CStr,
    record: &Record<'_>,
    stat: &Stat,
    since: Baseline,
) -> io::Result<Look> {
    let Some((kind, size, mtime, _, content)) = record.as_left() else { return Ok(Look::Other) };
    let compared = if record.flags.left_out { since.compared } else { since.written };
    let is = |same| if same { Look::AsLeft } else { Look::Other };
    Ok(match (kind, FileType::from_raw_mode(stat.st_mode), made) {
        (Kind::File, FileType::RegularFile, _) if transfer::size(stat) == size => {
            if since.lacks.is_same_time(time_of(stat), mtime) && changed_at(stat) < compared {
                Look::AsLeft
            } else {
                Look::Ask
            }
        }
        (Kind::Link, FileType::Symlink, Some(made)) => {
            let target = rustix::fs::readlinkat(made, name, Vec::new())?;
            is(*content == Content::Target(target.as_bytes().into()))
        }
        (Kind::Dir, FileType::Directory, _) => Look::AsLeft,
        _ => Look::Other,
    })
}

fn changed_at(stat: &Stat) -> Time {
    (stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(0))
}

/// How the volume has a record's entry, to be recorded as left.
pub(crate) fn as_it_is(
    made: Option<&OwnedFd>,
    record: &Record<'_>,
    since: Baseline,
    buffer: &mut Vec<u8>,
) -> io::Result<Left<'static>> {
    let Ok(name) = std::ffi::CString::new(record.name.to_vec()) else { return Ok(Left::Absent) };
    let Some(made) = made else { return Ok(Left::Absent) };
    let stat = match rustix::fs::statat(made, &*name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Left::Absent),
        found => found?,
    };
    let mode = stat.st_mode & 0o7777;
    if looks_as_left(Some(made), &name, record, &stat, since)? == Look::AsLeft {
        return Ok(record.clone().into_owned().left);
    }
    let other = |kind, size, mode, content| Left::Other { kind, size, mtime: time_of(&stat), mode, content };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let how = record.content.hashing();
            let (content, seen) = match hash_of(made, &name, how, buffer) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(Left::Absent),
                // What this user may not read is taken to be what it was.
                Err(error) if is_denied(&error) => {
                    return Ok(match record.as_left() {
                        Some((Kind::File, size, _, _, content)) if size == transfer::size(&stat) => {
                            other(Kind::File, size, mode, content.clone().into_owned())
                        }
                        _ => record.clone().into_owned().left,
                    });
                }
                Err(error) => return Err(error),
            };
            let as_image = content == record.content
                && (time_of(&seen), seen.st_mode & 0o7777) == (record.mtime, record.mode);
            if as_image { Left::AsImage } else { other(Kind::File, transfer::size(&seen), mode, content) }
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(made, &*name, Vec::new())?.into_bytes();
            let content = Content::Target(target.into());
            let as_image = record.kind == Kind::Link && content == record.content;
            if as_image { Left::AsImage } else { other(Kind::Link, 0, 0o777, content) }
        }
        FileType::Directory => other(Kind::Dir, 0, mode, Content::None),
        _ => Left::Absent,
    })
}

/// Whether this user may not read something.
pub(crate) fn is_denied(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::ACCESS)
}

/// As [`has_payload`]; what this user may not read is not known to be the same.
pub(crate) fn compare_content(
    dir: impl AsFd,
    name: &CStr,
    wanted: Payload<'_>,
    stat: &Stat,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    match has_payload(dir, name, wanted, stat, buffer) {
        Err(error) if is_denied(&error) => Ok(false),
        compared => compared,
    }
}

/// Compares an entry with content that is known by its hash or link target.
pub(crate) fn has_payload(
    dir: impl AsFd,
    name: &CStr,
    Payload { kind, size, content }: Payload<'_>,
    stat: &Stat,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    let there = FileType::from_raw_mode(stat.st_mode);
    match (kind, there, content) {
        (Kind::Link, FileType::Symlink, Content::Target(target)) => {
            Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.as_bytes() == &**target)
        }
        (Kind::File, FileType::RegularFile, Content::Hash(_) | Content::Sparse(_))
            if transfer::size(stat) == size =>
        {
            Ok(hash_of(dir, name, content.hashing(), buffer)?.is_some_and(|(found, _)| found == *content))
        }
        _ => Ok(false),
    }
}

/// The hash of a regular file; `None` if it is none, or is gone.
pub(crate) fn hash_of(
    dir: impl AsFd,
    name: &CStr,
    how: Hashing,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(Content<'static>, Stat)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::LOOP | Errno::NOENT | Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let target = transfer::Target::none(how);
    match transfer::stream(&file, &stat, target, buffer, &mut |_| true) {
        Ok((hash, _)) => Ok(Some((how.content(hash), stat))),
        Err(Failed::Reading(e) | Failed::Writing(e)) => Err(e),
        Err(Failed::Stopped) => Ok(None),
    }
}
