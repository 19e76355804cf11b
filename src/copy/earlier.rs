//! Manifests of version 0.1: one for each destination, in the state directory that the copy was given. The first owner
//! that copies into the destination reads it, and removes it when its own manifest is in force.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::copy::manifest::{self, Manifest, Reading};
use crate::copy::request::Request;
use crate::copy::state::STATE;
use crate::support::rooted_dir::Dir;

/// The directory of manifests in a state directory of version 0.1.
const MANIFEST: &str = "manifest";

/// The manifest that version 0.1 left for this destination, with its directory and name.
pub(super) fn read(request: &Request, destination: &Path) -> io::Result<Option<(Manifest, Dir, OsString)>> {
    let inside = destination.join(STATE);
    find(destination, request.earlier_state.as_deref().into_iter().chain([&*inside]))
}

/// As [`read`], but looks in these state directories.
pub(super) fn find<'a>(
    destination: &Path,
    states: impl Iterator<Item = &'a Path>,
) -> io::Result<Option<(Manifest, Dir, OsString)>> {
    for state in states {
        let Ok(dir) = Dir::open(state).and_then(|dir| dir.open_dir(MANIFEST)) else { continue };
        let name = manifest::name_of(destination, state);
        if let Reading::Read(manifest) = Manifest::read(&dir, &name)? {
            return Ok(Some((manifest, dir, name)));
        }
    }
    Ok(None)
}

/// Removes it, and the notes that version 0.1 left beside it.
pub(super) fn forget(dir: &Dir, name: &OsStr) -> io::Result<()> {
    for (entry, _) in dir.entries()? {
        let rest = entry.as_bytes().strip_prefix(name.as_bytes());
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b".")) {
            dir.remove_all(&entry)?;
        }
    }
    Ok(())
}
