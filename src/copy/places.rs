//! The places that a copy works in, before it begins: source, destination and state directory apart from each other,
//! what an earlier copy left there, and what in them is not the copy's to touch.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::error::Error;
use super::manifest::{self, Manifest};
use super::{Request, shard, stage};
use crate::support::rooted_dir::Dir;

/// Opens the destination, made first where it is missing (not in a dry run: the nearest parent stands in for it).
pub(super) fn open_destination(request: &Request) -> Result<(Dir, bool), Error> {
    let path = &request.destination;
    let failed = |e| Error::unusable("open the destination", path, e);
    match Dir::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return Ok((opened.map_err(failed)?, false)),
    }
    if request.options.dry_run {
        let parent = path.ancestors().skip(1).find_map(|parent| {
            Dir::open(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }).ok()
        });
        return parent.map(|dir| (dir, true)).ok_or_else(|| failed(io::ErrorKind::NotFound.into()));
    }
    std::fs::create_dir_all(path).map_err(|e| Error::unusable("create the destination", path, e))?;
    Ok((Dir::open(path).map_err(failed)?, true))
}

pub(super) fn open_state(request: &Request) -> Result<Option<Dir>, Error> {
    let path = &request.state;
    match Dir::open(path) {
        Ok(dir) => return Ok(Some(dir)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::unusable("open the state directory", path, error));
        }
        Err(_) if request.options.dry_run => return Ok(None),
        Err(_) => {}
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path);
    made.and_then(|()| Dir::open(path).map(Some))
        .map_err(|e| Error::unusable("create the state directory", path, e))
}

/// Neither may be inside the other: a copy would meet its own work.
pub(super) fn apart(request: &Request, source: &Dir, destination: &Dir) -> Result<(), Error> {
    let (from, to) = (request.source.display(), request.destination.display());
    for (inner, outer, sentence) in [
        (destination, source, format!("the destination {to} is inside the source {from}")),
        (source, destination, format!("the source {from} is inside the destination {to}")),
    ] {
        let is_inside = inside(inner, outer).map_err(|e| Error::system("open", &request.destination, e))?;
        if is_inside {
            return Err(Error::request(sentence));
        }
    }
    Ok(())
}

fn inside(inner: &Dir, outer: &Dir) -> io::Result<bool> {
    let wanted = outer.stat()?;
    let mut stat = inner.stat()?;
    let mut at = rustix::fs::openat(inner, c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        if (stat.st_dev, stat.st_ino) == (wanted.st_dev, wanted.st_ino) {
            return Ok(true);
        }
        at = rustix::fs::openat(&at, c"..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let up = rustix::fs::fstat(&at)?;
        if (up.st_dev, up.st_ino) == (stat.st_dev, stat.st_ino) {
            return Ok(false);
        }
        stat = up;
    }
}

pub(super) fn sweep(request: &Request, state: &Dir, destination: &Dir) -> io::Result<u64> {
    stage::sweep_probes(destination)?;
    stage::sweep(state, destination, &|name| shard::is_leftover(request, name))
}

pub(super) fn is_emptied(old: &Manifest, destination: &Dir) -> io::Result<bool> {
    let Some(at) = old.find(b"") else { return Ok(false) };
    let mut block = Vec::new();
    old.load(at, &mut block)?;
    let mut any = false;
    for record in manifest::records(&block) {
        // What the user changed or removed tells nothing: where pruning took the rest, an empty volume is his doing.
        if record.left == manifest::Left::Absent || record.flags.kept {
            continue;
        }
        any = true;
        if destination.find(std::ffi::OsStr::from_bytes(&record.name))?.is_some() {
            return Ok(false);
        }
    }
    Ok(any)
}

pub(super) fn protected_inodes(request: &Request, state: Option<&Dir>) -> Vec<(u64, u64)> {
    let named = request.protect.iter().filter_map(|path| rustix::fs::lstat(path).ok());
    named.chain(state.and_then(|dir| dir.stat().ok())).map(|stat| (stat.st_dev, stat.st_ino)).collect()
}

/// The protected paths that are below the destination, as seen from it: they may be taken before they exist.
pub(super) fn protected_paths(request: &Request) -> Vec<Vec<u8>> {
    let Ok(root) = request.destination.canonicalize() else { return Vec::new() };
    let below = |path: &PathBuf| {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = parent.canonicalize().ok()?.join(path.file_name()?);
        Some(real.strip_prefix(&root).ok()?.as_os_str().as_bytes().to_vec())
    };
    request.protect.iter().chain([&request.state]).filter_map(below).collect()
}
