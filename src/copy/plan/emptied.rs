//! Whether a volume was emptied by hand since the last copy.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::copy::manifest::{Left, Manifest, records};
use crate::support::rooted_dir::Dir;

/// Whether nothing of the last copy is left: no absence is a user's doing then.
pub(crate) fn is_emptied(old: &Manifest, destination: &Dir) -> io::Result<bool> {
    let Some(at) = old.find(b"") else { return Ok(false) };
    let mut block = Vec::new();
    old.load(at, &mut block)?;
    let mut any = false;
    for record in records(&block) {
        // What the user changed or removed tells nothing: where pruning took the rest, an empty volume is his doing.
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
