//! A source that is called as it was at the last copy (`--source-version`, an image's digest) need not be read: where the
//! volume is as that copy left it, there is nothing to do. Looks at the volume; changes nothing.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::copy::engine::Engine;
use crate::copy::error::Error;
use crate::copy::io::pool::Pool;
use crate::copy::manifest::{Kind, records};
use crate::copy::options::{Options, Prune};
use crate::copy::plan::compare::{Baseline, Look, looks_as_left};
use crate::copy::report::Report;

/// What the source is called, with what else decides what becomes of it.
pub(in crate::copy) fn version(version: &str, options: &Options) -> Vec<u8> {
    let Options { policy, prune, exclude, include, chown, chmod, dereference, .. } = options;
    let decisive = format!("{policy} {prune} {exclude:?} {include:?} {chown:?} {chmod:?} {dereference}");
    let short = blake3::hash(decisive.as_bytes()).to_hex()[..16].to_owned();
    format!("{version} {short}").into_bytes()
}

/// Whether the source is called as before and everything is as it was left. What is not, the copy finds again.
pub(in crate::copy) fn is_as_left(engine: &Engine<'_>, report: &mut Report) -> Result<bool, Error> {
    let known = engine.head.source_version.is_some() && engine.head == engine.old.head;
    let undone = engine.run_failed || engine.emptied || engine.created_root || !engine.intent.is_empty();
    let mirrors = engine.request.options.prune == Prune::All;
    if !known || undone || mirrors || engine.shares.is_some() || engine.request.options.dry_run {
        return Ok(false);
    }
    let (same, count) = (AtomicBool::new(true), AtomicU64::new(0));
    let pool = Pool::new((0..engine.old.len()).collect::<Vec<_>>());
    pool.run(vec![Vec::new(); engine.worker_count], |block, at| {
        if same.load(Ordering::Relaxed) {
            let (all, found) = look(engine, at, block)?;
            same.fetch_and(all, Ordering::Relaxed);
            count.fetch_add(found, Ordering::Relaxed);
        }
        Ok(())
    })?;
    report.unchanged += count.into_inner();
    let same = same.into_inner();
    if !same {
        report.unchanged = 0;
    }
    Ok(same)
}

/// Whether a directory's entries are as they were left, and how many of them there are.
fn look(engine: &Engine<'_>, at: usize, block: &mut Vec<u8>) -> Result<(bool, u64), Error> {
    let path = engine.old.path(at);
    engine.old.load(at, block).map_err(|e| engine.manifest_error(e))?;
    let Some(dir) = engine.volume_dir(path)? else { return Ok((false, 0)) };
    let claims = engine.layers.directory(path).map_err(|e| engine.manifest_error(e))?;
    let mut count = 0;
    let since = Baseline::of(&engine.old);
    let fd = OwnedFd::from(dir.reopen().map_err(|e| engine.volume_error("open", path, e))?);
    for record in records(block) {
        let Ok(name) = CString::new(record.name.to_vec()) else { return Ok((false, 0)) };
        if claims.later(&name).is_some() || record.flags.kept {
            continue;
        }
        // What a run's steps edited is installed afresh where steps follow.
        if record.flags.orphan || engine.request.steps_follow && !record.is_left_as_image() {
            return Ok((false, 0));
        }
        let found = dir.find(OsStr::from_bytes(&record.name));
        let found = found.map_err(|e| engine.volume_error("stat", path, e))?;
        let as_left = match (found, record.as_left()) {
            (None, left) => left.is_none(),
            (Some(stat), Some((kind, _, _, mode, _))) => {
                let look = looks_as_left(Some(&fd), &name, &record, &stat, since);
                let look = look.map_err(|e| engine.volume_error("compare", path, e))?;
                look == Look::AsLeft
                    && (kind == Kind::Link || since.lacks.modes || stat.st_mode & 0o5777 == mode & 0o5777)
            }
            (Some(_), None) => false,
        };
        if !as_left {
            return Ok((false, 0));
        }
        count += u64::from(record.kind != Kind::Dir);
    }
    Ok((true, count))
}
