//! Puts the log of the running attempt back under its name, from the open file. Another entry under that name is
//! renamed; nothing of a user's is removed.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::paths::Volume;
use crate::support::rooted_dir::copy_range;

/// Bytes per read in a comparison.
const BLOCK: usize = 1 << 20;

/// What the log's name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// The file that we write.
    Here,
    /// Nothing.
    Nowhere,
    /// Another file.
    Elsewhere,
}

impl Name {
    /// What `path` leads to, compared with `file`.
    pub(super) fn of(file: &File, path: &Path) -> Self {
        let Ok(own) = file.metadata() else { return Self::Nowhere };
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.dev() == own.dev() && found.ino() == own.ino() => Self::Here,
            Ok(_) => Self::Elsewhere,
            Err(_) => Self::Nowhere,
        }
    }
}

/// Copies `file` to the log's name, with `header` inserted at `border`. Returns the new file, and the new name of an
/// entry that was there, unless that was just a beginning of this log.
pub(super) fn restore(
    file: &File,
    volume: &Volume,
    border: u64,
    header: Option<&[u8]>,
) -> io::Result<(File, Option<String>)> {
    let workshop = volume.workshop()?;
    let (temporary, mut copy) = workshop.create_temporary(file.metadata()?.mode() & 0o777)?;
    let copied = copy_range(file, 0..border, &mut copy)
        .and_then(|()| copy.write_all(header.unwrap_or_default()))
        .and_then(|()| copy_range(file, border..u64::MAX, &mut copy))
        .and_then(|()| copy.sync_all());
    let placed = copied.and_then(|()| {
        if begins_with_what_is_at(file, volume) {
            return workshop.rename(&temporary, &volume.directory, &volume.log_name).map(|()| None);
        }
        let is_taken = volume.directory.find(&volume.log_name)?.is_some();
        let kept = if is_taken { Some(volume.directory.set_aside(&volume.log_name)?) } else { None };
        workshop.rename_to_free(&temporary, &volume.directory, &volume.log_name)?;
        Ok(kept.map(|name| name.to_string_lossy().into_owned()))
    });
    if placed.is_err() {
        // Best effort: the first error is the one to report.
        let _ = workshop.unlink(&temporary);
    }
    placed.map(|kept| (copy, kept))
}

/// Whether the entry is an earlier copy of the log, as programs leave it that edit in place (`sed -i`): removing it
/// loses nothing.
fn begins_with_what_is_at(file: &File, volume: &Volume) -> bool {
    let Ok(other) = volume.directory.open_regular(&volume.log_name, OFlags::RDONLY, 0) else {
        return false;
    };
    let Ok(size) = other.metadata().map(|metadata| metadata.len()) else { return false };
    let (mut ours, mut theirs) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0;
    while at < size {
        let length = usize::try_from(size - at).unwrap_or(BLOCK).min(BLOCK);
        let read = other
            .read_exact_at(&mut theirs[..length], at)
            .and_then(|()| file.read_exact_at(&mut ours[..length], at));
        if read.is_err() || ours[..length] != theirs[..length] {
            return false;
        }
        at += length as u64;
    }
    true
}
