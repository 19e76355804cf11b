//! Compares one record of a note with the volume.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Stat};

use crate::copy::manifest::{Kind, Left, Manifest, Record, records};
use crate::copy::plan::compare::compare_content;

/// Whether the note is about a removal, not an installation.
pub(crate) fn is_pruned(noted: &Record<'_>) -> bool {
    noted.flags.orphan && noted.left == Left::Absent
}

/// Whether a note says that a name is about to be installed.
pub(crate) fn is_noted<'a>(note: &Manifest, mut dir: &'a [u8], mut name: &'a [u8]) -> bool {
    let at = loop {
        match (note.find(dir), dir.iter().rposition(|b| *b == b'/')) {
            (Some(at), _) => break at,
            // If the whole directory was to be renamed, its parent's records say so.
            (None, Some(slash)) => (dir, name) = (&dir[..slash], &dir[slash + 1..]),
            (None, None) if dir.is_empty() => return false,
            (None, None) => (dir, name) = (b"", dir),
        }
    };
    let mut block = Vec::new();
    note.load(at, &mut block).is_ok()
        && records(&block).any(|r: Record<'_>| *r.name == *name && !r.flags.found && !r.flags.kept)
}

/// Whether the volume has what was noted; reads the content.
pub(crate) fn is_there(
    dir: impl AsFd,
    noted: &Record<'_>,
    stat: &Stat,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    if noted.flags.kept || noted.flags.orphan {
        return Ok(false);
    }
    let Some(left) = noted.payload_left() else { return Ok(false) };
    if left.kind == Kind::Dir {
        return Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
    }
    let Ok(name) = CString::new(noted.name.to_vec()) else { return Ok(false) };
    compare_content(dir, &name, left, stat, buffer)
}
