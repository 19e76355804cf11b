//! Detects that a volume was emptied by hand since the last copy.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::copy::manifest::{Kind, Left, Manifest, records};
use crate::support::rooted_dir::Dir;

/// Whether nothing of all that the last copy installed is left. Then no absence counts as a user's edit. A single file that is
/// gone was removed by the user.
pub(crate) fn is_emptied(old: &Manifest, destination: &Dir) -> io::Result<bool> {
    let Some(at) = old.find(b"") else { return Ok(false) };
    let mut block = Vec::new();
    old.load(at, &mut block)?;
    let (mut names, mut gone, mut directories) = (0, false, false);
    // What the user had there first was never installed.
    for record in records(&block).filter(|record| !(record.flags.kept && record.flags.found)) {
        names += 1;
        directories |= record.kind == Kind::Dir;
        // Records of what the user changed or removed prove nothing: if pruning took the rest, the user has emptied the
        // volume.
        if record.left == Left::Absent || record.flags.kept {
            continue;
        }
        gone = true;
        if destination.find(OsStr::from_bytes(&record.name))?.is_some() {
            return Ok(false);
        }
    }
    Ok(gone && (names > 1 || directories))
}
