//! Detects that a volume was emptied by hand since the last copy.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::copy::manifest::{Left, Manifest, records};
use crate::support::rooted_dir::Dir;

/// Whether nothing of the last copy is left. Then no absence counts as a user's edit.
pub(crate) fn is_emptied(old: &Manifest, destination: &Dir) -> io::Result<bool> {
    let Some(at) = old.find(b"") else { return Ok(false) };
    let mut block = Vec::new();
    old.load(at, &mut block)?;
    let mut any = false;
    for record in records(&block) {
        // Records of what the user changed or removed prove nothing: if pruning took the rest, the user has emptied the
        // volume.
        if record.left == Left::Absent || record.flags.kept {
            continue;
        }
        any = true;
        if destination.find(OsStr::from_bytes(&record.name))?.is_some() {
            return Ok(false);
        }
    }
    Ok(any)
}
