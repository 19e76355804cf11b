//! Compares a volume with what all copies into it installed.

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{FileType, Stat};

use crate::copy::commit::rewrite::{WORKERS, open};
use crate::copy::error::Error;
use crate::copy::io::lacks::Lacks;
use crate::copy::io::mount::is_mount;
use crate::copy::io::path::{beside_what, join, parent, shown_path};
use crate::copy::io::pool::Pool;
use crate::copy::manifest::{self, Content, Kind, Manifest, Reading, Record, records};
use crate::copy::plan::compare::{Baseline, has_payload, is_denied};
use crate::copy::plan::layers::{Claims, Layers};
use crate::copy::plan::spelling::{Listed, pairs};
use crate::copy::report::VerifyReport;
use crate::copy::state::{MANIFESTS, STATE, State, owners};
use crate::support::mutex;
use crate::support::rooted_dir::Dir;

/// As [`crate::copy::verify`].
pub(crate) fn verify(destination: &Path, earlier_state: Option<&Path>) -> Result<VerifyReport, Error> {
    let unopened = |e| {
        let why = if is_denied(&e) { Error::system } else { Error::unusable };
        why("open", destination, e)
    };
    let root = Dir::open(destination).map_err(unopened)?;
    let failed = |e| Error::system("verify", destination, e);
    let mut report = VerifyReport::default();
    for manifest in manifests(&root, destination, earlier_state)? {
        let own = manifest::file_name(&manifest.head.owner);
        let layers = Layers::read(destination, &own, manifest.head.since, None).map_err(failed)?;
        let layers = layers.following(manifest.head.follows);
        let follow = manifest.head.follows.then_some(destination);
        let (mut closed, mut mounted) = (Vec::new(), Vec::new());
        // Looked for first: what is below another destination or a mount is not this one's.
        for at in (0..manifest.len()).filter(|at| !manifest.path(*at).is_empty()) {
            let path = manifest.path(at);
            if is_mount(&root, path) {
                mounted.push(path);
                continue;
            }
            match open(&root, path, follow)
                .and_then(|dir| dir.map_or(Ok(()), |dir| look_into(&dir, path, &layers)))
            {
                Err(error) if is_denied(&error) => closed.push(path),
                looked => looked.map_err(failed)?,
            }
        }
        let found = Mutex::new(VerifyReport::default());
        let pool = Pool::new((0..manifest.len()).collect::<Vec<_>>());
        pool.run(vec![(Vec::new(), Vec::new()); WORKERS], |(block, data), at| {
            let at_path = || destination.join(OsStr::from_bytes(manifest.path(at)));
            let is_in = |dirs: &[&[u8]]| dirs.iter().any(|dir| is_at_or_below(manifest.path(at), dir));
            if is_in(&mounted) {
                return Ok(());
            }
            let one = if is_in(&closed) {
                denied_block(&manifest, at, &layers, block)
            } else {
                verify_block((&root, follow), &manifest, at, &layers, (block, data))
            };
            mutex::lock(&found).merge(one.map_err(|e| Error::system("verify", at_path(), e))?);
            Ok(())
        })?;
        report.merge(std::mem::take(&mut *mutex::lock(&found)));
    }
    report.sort();
    Ok(report)
}

/// Takes in the owners of a directory that is a destination of its own. Fails where this user may not see what is in it.
fn look_into(dir: &Dir, path: &[u8], layers: &Layers) -> io::Result<()> {
    if dir.find(STATE)?.is_some() {
        match dir.open_dir(Path::new(STATE).join(MANIFESTS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => layers.discover(path, dir)?,
        }
    }
    Ok(())
}

fn is_at_or_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// What is in a directory that this user may not look into.
fn denied_block(
    manifest: &Manifest,
    at: usize,
    layers: &Layers,
    block: &mut Vec<u8>,
) -> io::Result<VerifyReport> {
    let mut report = VerifyReport::default();
    manifest.load(at, block)?;
    let claims = layers.directory(manifest.path(at))?;
    for record in records(block) {
        let later = claims.later(&CString::new(record.name.to_vec())?).is_some();
        if !(record.flags.orphan || record.flags.kept || later) {
            report.denied.push(join(manifest.path(at), &record.name));
        }
    }
    Ok(report)
}

/// The manifests in force of all owners, and that of version 0.1 if it was not migrated yet.
fn manifests(root: &Dir, destination: &Path, earlier: Option<&Path>) -> Result<Vec<Manifest>, Error> {
    let failed = |e| Error::system("read the manifests of", destination, e);
    let mut all = Vec::new();
    let opened = match root.open_dir(Path::new(STATE).join(MANIFESTS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened.map_err(failed)?),
    };
    if let Some(opened) = &opened {
        for owner in owners(opened).map_err(failed)? {
            match Manifest::read(opened, &owner).map_err(failed)? {
                Reading::Read(manifest) => all.push(manifest),
                Reading::Absent => {}
                Reading::Unusable => {
                    return Err(Error::request(format!(
                        "a manifest of {} cannot be read: copy again",
                        shown_path(destination)
                    )));
                }
            }
        }
    }
    let inside = destination.join(STATE);
    if all.is_empty()
        && let Some((manifest, ..)) =
            crate::copy::earlier::find(destination, earlier.into_iter().chain([&*inside])).map_err(failed)?
    {
        all.push(manifest);
    }
    if all.is_empty() {
        let parts = match State::open(root).map_err(failed)? {
            Some(state) => state.has_parts().map_err(failed)?,
            None => false,
        };
        let what = if parts {
            "the shards that copied there were not put together: give all of them one image and one run id, and copy again"
        } else {
            "nothing was copied there yet"
        };
        return Err(Error::request(format!("there is no manifest of {}: {what}", shown_path(destination))));
    }
    Ok(all)
}

fn verify_block(
    (root, follow): (&Dir, Option<&Path>),
    manifest: &Manifest,
    at: usize,
    layers: &Layers,
    (block, data): (&mut Vec<u8>, &mut Vec<u8>),
) -> io::Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let lacks = Baseline::of(manifest).lacks;
    manifest.load(at, block)?;
    let dir = open(root, manifest.path(at), follow)?;
    let claims: Claims = layers.directory(manifest.path(at))?;
    if let Some(dir) = &dir {
        added(dir, manifest.path(at), block, &claims, &mut report)?;
    }
    if dir.is_none() && is_below_others(manifest, layers, manifest.path(at))? {
        return Ok(report);
    }
    for record in records(block) {
        let c_name = CString::new(record.name.to_vec())?;
        if record.flags.orphan || claims.later(&c_name).is_some() {
            continue;
        }
        let path = join(manifest.path(at), &record.name);
        let hides = |dir| record.kind == Kind::Dir && is_mount(dir, &*c_name);
        if record.flags.kept || dir.as_ref().is_some_and(hides) {
            report.kept += 1;
            report.users.push(path);
            continue;
        }
        let name = OsStr::from_bytes(&record.name);
        let mut stat = match &dir {
            Some(dir) => dir.find(name)?,
            None => None,
        };
        if let (Some(destination), Some(found), Kind::Dir) = (follow, &stat, record.kind)
            && FileType::from_raw_mode(found.st_mode) == FileType::Symlink
        {
            // The copy followed a link here: compare what it leads to.
            let led = destination.join(OsStr::from_bytes(&join(manifest.path(at), &record.name)));
            stat = rustix::fs::stat(led).ok().or(stat);
        }
        match (stat, record.as_left(), &dir) {
            (None, None, _) => report.matching += 1,
            (None, Some(_), _) => report.missing.push(path),
            (Some(_), None, _) => report.modified.push(path),
            (Some(stat), Some(_), Some(dir)) => {
                verify_entry((dir, lacks), &record, &stat, path, (&mut report, data))?;
            }
            (Some(_), Some(_), None) => {}
        }
    }
    Ok(report)
}

/// Whether one of the directories above is the user's or a later owner's, and so not as recorded.
fn is_below_others(manifest: &Manifest, layers: &Layers, path: &[u8]) -> io::Result<bool> {
    let mut block = Vec::new();
    let mut below = path;
    while let Some(above) = parent(below) {
        if let Some(at) = manifest.find(above) {
            manifest.load(at, &mut block)?;
            let name = &below[above.len()..];
            let name = name.strip_prefix(b"/").unwrap_or(name);
            let later = layers.directory(above)?.later(&CString::new(name)?).is_some();
            if later || records(&block).any(|record| *record.name == *name && record.flags.kept) {
                return Ok(true);
            }
        }
        below = above;
    }
    Ok(false)
}

/// Lists entries of a directory that nobody installed.
fn added(dir: &Dir, path: &[u8], block: &[u8], claims: &Claims, report: &mut VerifyReport) -> io::Result<()> {
    let known: HashSet<Vec<u8>> = records(block).map(|record| record.name.to_vec()).collect();
    let entries = dir.entries()?;
    let names = entries.iter().map(|(name, _)| name.as_bytes());
    let ours = |name: &[u8]| name == STATE.as_bytes() || path.is_empty() && name == b"lost+found";
    // A file that a copy put beside a name is no addition of a user.
    let is_beside = |name: &[u8]| beside_what(name).is_some_and(|of| known.contains(of) || claims.has(of));
    let is_known = |name: &[u8]| known.contains(name) || claims.has(name) || is_beside(name);
    let others: Vec<&[u8]> = names.filter(|name| !ours(name) && !is_known(name)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let listed: HashSet<&[u8]> = entries.iter().map(|(name, _)| name.as_bytes()).collect();
    let unlisted: Vec<&[u8]> =
        known.iter().map(|name| &**name).filter(|name| !listed.contains(name)).collect();
    let spelled: HashSet<&[u8]> =
        pairs(&unlisted, &others, &Listed::of(dir)?)?.into_iter().map(|(_, name)| name).collect();
    for name in others.into_iter().filter(|name| !spelled.contains(name)) {
        report.added.push(join(path, name));
    }
    Ok(())
}

fn verify_entry(
    (dir, lacks): (&Dir, Lacks),
    record: &Record<'_>,
    stat: &Stat,
    path: Vec<u8>,
    (report, buffer): (&mut VerifyReport, &mut Vec<u8>),
) -> io::Result<()> {
    let Some((kind, _, _, mode, content)) = record.as_left() else { return Ok(()) };
    let Some(left) = record.payload_left() else { return Ok(()) };
    let name = CString::new(record.name.to_vec())?;
    let same = match kind {
        Kind::Dir => FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        _ => match has_payload(dir, &name, left, stat, buffer) {
            Err(error) if is_denied(&error) => {
                report.denied.push(path);
                return Ok(());
            }
            compared => compared?,
        },
    };
    let found = if lacks.modes { mode } else { stat.st_mode & 0o7777 };
    // A directory inherits the set-group-ID bit from its parent (mkdir(2)), as on a volume with an fsGroup. A file
    // whose owner could not be kept has neither set-ID bit.
    let ignored = match kind {
        Kind::Dir => 0o2000 & !mode,
        _ => mode & 0o6000 & !found,
    };
    if !same {
        report.modified.push(path);
    } else if !matches!(content, Content::Target(_)) && found & !ignored != mode & !ignored {
        report.mode.push(path);
    } else {
        report.matching += 1;
    }
    Ok(())
}
