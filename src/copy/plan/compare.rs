//! What the volume has under a name, compared with what a record or the image says.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::copy::engine::{Engine, Worker};
use crate::copy::error::Error;
use crate::copy::io::lacks::Lacks;
use crate::copy::io::metadata::time_of;
use crate::copy::io::transfer::{self, Failed};
use crate::copy::manifest::{Content, Hashing, Kind, Left, Manifest, Record, Time};
use crate::copy::plan::entry::{Entry, Here};
use crate::copy::plan::source_file::Version;

impl Engine<'_> {
    /// Whether the volume has this content under the name, read in full.
    pub(in crate::copy) fn has_content(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        kind: Kind,
        size: u64,
        content: &Content<'_>,
    ) -> Result<bool, Error> {
        let (Some(made), Some(stat)) = (here.made, entry.volume) else { return Ok(false) };
        compare_content(made, entry.name, kind, size, content, stat, &mut worker.other)
            .map_err(|e| self.volume_error("compare", &here.child(entry.name), e))
    }

    /// Whether the volume has what was left, content read in full where there is some, of a directory everything in it.
    pub(in crate::copy) fn is_as_left(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
    ) -> Result<bool, Error> {
        let Some(record) = entry.record.filter(|record| !record.flags.kept) else { return Ok(false) };
        let Some((kind, size, _, _, content)) = record.as_left() else { return Ok(false) };
        if let (Kind::Dir, Some(made), Some(stat)) = (kind, here.made, entry.volume)
            && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
        {
            let path = here.child(entry.name);
            let installed = self.is_installed(made, entry.name, &path);
            return installed.map_err(|e| self.volume_error("compare", &path, e));
        }
        self.has_content(worker, here, entry, kind, size, content)
    }
}

/// A file with the image's content, but perhaps metadata of its own.
pub(in crate::copy) fn seen(stat: &Stat, version: &Version<'_>) -> Left<'static> {
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

pub(in crate::copy) fn meta_changed(record: &Record<'_>, version: &Version<'_>) -> bool {
    (record.mode, record.uid, record.gid, record.mtime)
        != (version.meta.mode, version.meta.uid, version.meta.gid, version.meta.mtime)
}

/// What the volume is compared with a manifest by.
#[derive(Debug, Clone, Copy)]
pub(in crate::copy) struct Baseline {
    /// When the manifest came into force.
    pub(in crate::copy) written: Time,
    pub(in crate::copy) lacks: Lacks,
}

impl Baseline {
    pub(in crate::copy) fn of(manifest: &Manifest) -> Self {
        let lacks = manifest.head.lacks.as_deref().map(Lacks::parse).unwrap_or_default();
        Self { written: manifest.written, lacks }
    }

    /// Size and mtime are believed, whenever they came about (`--trust-mtime`).
    pub(in crate::copy) fn trusted(self) -> Self {
        Self { written: (i64::MAX, 0), ..self }
    }
}

/// What a look without reading content says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::copy) enum Look {
    AsLeft,
    /// The content has to be read.
    Ask,
    Other,
}

/// Type, size and mtime (a link's target) as left. A file whose ctime is not before the manifest came into
/// force was touched since: its size and mtime prove nothing.
pub(in crate::copy) fn looks_as_left(
    made: Option<&OwnedFd>,
    name: &CStr,
    record: &Record<'_>,
    stat: &Stat,
    since: Baseline,
) -> io::Result<Look> {
    let Some((kind, size, mtime, _, content)) = record.as_left() else { return Ok(Look::Other) };
    let is = |same| if same { Look::AsLeft } else { Look::Other };
    Ok(match (kind, FileType::from_raw_mode(stat.st_mode), made) {
        (Kind::File, FileType::RegularFile, _) if transfer::size(stat) == size => {
            if since.lacks.is_same_time(time_of(stat), mtime) && changed_at(stat) < since.written {
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

/// What the volume has under the name of a record, to be recorded as it was left.
pub(in crate::copy) fn as_it_is(
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
            let Some((content, seen)) = hash_of(made, &name, how, buffer)? else { return Ok(Left::Absent) };
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

/// Compares what is under a name with content that is known by its hash or target.
pub(in crate::copy) fn compare_content(
    dir: impl AsFd,
    name: &CStr,
    kind: Kind,
    size: u64,
    content: &Content<'_>,
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

/// The content of a regular file, by its hash; `None` for what cannot be read as one.
pub(in crate::copy) fn hash_of(
    dir: impl AsFd,
    name: &CStr,
    how: Hashing,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(Content<'static>, Stat)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::LOOP | Errno::NOENT | Errno::ACCESS | Errno::NXIO) => return Ok(None),
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
