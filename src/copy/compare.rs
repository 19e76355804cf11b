//! What the volume has under a name, compared with what a record or the image says.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::engine::{Engine, Worker};
use super::entry::{Entry, Here};
use super::error::Error;
use super::image::Version;
use super::manifest::{Content, Hash, Kind, Left, Record};
use super::metadata::time_of;
use super::transfer::{self, Failed};

impl Engine<'_> {
    /// Whether the volume has this content under the name, read in full.
    pub(super) fn has_content(
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
    pub(super) fn is_as_left(
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

/// A file with the image's content, but metadata of its own.
pub(super) fn seen(stat: &Stat, version: &Version<'_>) -> Left<'static> {
    if time_of(stat) == version.meta.mtime && stat.st_mode & 0o7777 == version.meta.mode {
        return Left::AsImage;
    }
    if time_of(stat) == version.meta.mtime {
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

pub(super) fn meta_changed(record: &Record<'_>, version: &Version<'_>) -> bool {
    (record.mode, record.uid, record.gid, record.mtime)
        != (version.meta.mode, version.meta.uid, version.meta.gid, version.meta.mtime)
}

/// Type, size and mtime (a link's target) as left: no content is read.
pub(super) fn looks_as_left(
    made: Option<&OwnedFd>,
    name: &CStr,
    record: &Record<'_>,
    stat: &Stat,
) -> io::Result<bool> {
    let Some((kind, size, mtime, _, content)) = record.as_left() else { return Ok(false) };
    Ok(match (kind, FileType::from_raw_mode(stat.st_mode), made) {
        (Kind::File, FileType::RegularFile, _) => transfer::size(stat) == size && time_of(stat) == mtime,
        (Kind::Link, FileType::Symlink, Some(made)) => {
            let target = rustix::fs::readlinkat(made, name, Vec::new())?;
            *content == Content::Target(target.as_bytes().into())
        }
        (Kind::Dir, FileType::Directory, _) => true,
        _ => false,
    })
}

/// Compares what is under a name with content that is known by its hash or target.
pub(super) fn compare_content(
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
        (Kind::File, FileType::RegularFile, Content::Hash(hash)) if transfer::size(stat) == size => {
            Ok(hash_of(dir, name, buffer)?.is_some_and(|(found, _)| found == *hash))
        }
        _ => Ok(false),
    }
}

/// The hash of a regular file; `None` for what cannot be read as one.
pub(super) fn hash_of(dir: impl AsFd, name: &CStr, buffer: &mut Vec<u8>) -> io::Result<Option<(Hash, Stat)>> {
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
    match transfer::stream(&file, &stat, None, &transfer::Reflink::default(), buffer, &mut |_| true) {
        Ok((hash, _)) => Ok(Some((hash, stat))),
        Err(Failed::Reading(e) | Failed::Writing(e)) => Err(e),
        Err(Failed::Stopped) => Ok(None),
    }
}
