//! Finds destinations inside another destination, and around it: what a run does to its own, it does to them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{Access, AtFlags, FileType};

use crate::copy::commit::listed::listed;
use crate::copy::commit::rewrite::WORKERS;
use crate::copy::io::pool::Pool;
use crate::copy::manifest::{Manifest, Reading};
use crate::copy::state::{JOURNAL, STATE, State};
use crate::support::mutex;
use crate::support::rooted_dir::Dir;

/// The destinations inside `destination`: those listed there, and those among the directories that its copies know and
/// directly inside these, as one that another user copies into may not be listed. Leaves out one whose state this user may not write: another user looks after it.
pub(crate) fn destinations_inside(destination: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![destination.to_owned()];
    let mut done = 0;
    while let Some(at) = found.get(done).cloned() {
        done += 1;
        let inner = directly_inside(&at)?.into_iter().map(|below| at.join(below));
        found.extend(inner.filter(|path| !found.contains(path)).collect::<Vec<_>>());
    }
    Ok(found.split_off(1))
}

/// The destinations around `destination` on its volume, each with the path from there. Leaves out one whose state this
/// user may not write.
pub(crate) fn destinations_around(destination: &Path) -> Vec<(PathBuf, PathBuf)> {
    let Ok(real) = destination.canonicalize() else { return Vec::new() };
    let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).ok();
    let own = device(&real);
    let around = real.ancestors().skip(1).take_while(|path| device(path) == own);
    let has_state = around.filter(|path| Dir::open(path).is_ok_and(|dir| is_destination(&dir, "")));
    let with_path = |path: &Path| Some((path.to_owned(), real.strip_prefix(path).ok()?.to_owned()));
    has_state.filter_map(with_path).collect()
}

fn directly_inside(destination: &Path) -> io::Result<Vec<PathBuf>> {
    let root = match Dir::open(destination) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        root => root?,
    };
    let Some(state) = State::open(&root)? else { return Ok(Vec::new()) };
    let mut directories = BTreeSet::from([PathBuf::new()]);
    for owner in state.owners()? {
        let Reading::Read(manifest) = Manifest::read(&state.manifests, &owner)? else { continue };
        directories.extend((0..manifest.len()).map(|at| PathBuf::from(OsStr::from_bytes(manifest.path(at)))));
    }
    let found = Mutex::new(Vec::new());
    let look = |(): &mut (), path: PathBuf| {
        // It is gone or no longer a directory.
        let Ok(dir) = root.open_dir(&path) else { return Ok(()) };
        let mut entries = dir.entries().unwrap_or_default();
        entries.retain(|(name, kind)| *kind == FileType::Directory && is_destination(&dir, name));
        mutex::lock(&found).extend(entries.into_iter().map(|(name, _)| path.join(name)));
        Ok(())
    };
    Pool::new(directories.into_iter().collect()).run(vec![(); WORKERS], look).map_err(io::Error::other)?;
    let mut found = mutex::lock(&found).split_off(0);
    found.extend(listed(&root, &state)?.into_iter().filter(|path| is_destination(&root, path)));
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn is_destination(parent: &Dir, path: impl AsRef<Path>) -> bool {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    let writable = |state: Dir| rustix::fs::accessat(&state, JOURNAL, access, AtFlags::EACCESS);
    parent.open_dir(path.as_ref().join(STATE)).is_ok_and(|state| writable(state).is_ok())
}
