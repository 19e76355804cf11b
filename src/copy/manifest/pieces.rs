//! Merges the records of one directory from several pieces.

use crate::copy::manifest::read::records;
use crate::copy::manifest::record::{Kind, Record};

/// The records of one directory from several pieces, sorted by name. The first of equal names counts, except for the
/// digest of a directory's attributes: it may come in a later piece, from the task that opened the directory.
pub(crate) fn join(pieces: &[u8], into: &mut Vec<u8>) {
    let mut sorted: Vec<Record<'_>> = records(pieces).collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted.dedup_by(|later, first| {
        let same = later.name == first.name;
        if same && (first.kind, later.kind) == (Kind::Dir, Kind::Dir) {
            first.xattrs = first.xattrs.or(later.xattrs);
        }
        same
    });
    into.clear();
    for record in sorted {
        record.write(into);
    }
}

/// As [`join`], but keeps all different records of a name.
pub(crate) fn gather(pieces: &[u8], into: &mut Vec<u8>) {
    let mut sorted: Vec<Record<'_>> = records(pieces).collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted.dedup();
    into.clear();
    for record in sorted {
        record.write(into);
    }
}
