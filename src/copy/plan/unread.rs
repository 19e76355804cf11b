//! Skips a source whose name is unchanged since the last copy (`--source-version`, an image's digest): if the volume is
//! as that copy left it, there is nothing to do. Changes nothing.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::copy::error::Error;
use crate::copy::io::pool::Pool;
use crate::copy::manifest::{Kind, records};
use crate::copy::options::Prune;
use crate::copy::plan::compare::{Baseline, Look, looks_as_left};
use crate::copy::plan::known::Known;
use crate::copy::report::Report;

/// Whether the source's name is unchanged and the volume is as it was left. If not, the copy looks at everything again.
pub(crate) fn is_as_left(known: &Known<'_>, workers: usize, report: &mut Report) -> Result<bool, Error> {
    let same = known.head.source_version.is_some() && known.head == known.old.head;
    let undone = known.changed_by_run || known.emptied || known.roots.created || !known.intent.is_empty();
    let mirrors = known.options.prune == Prune::All;
    // The manifest may be about another name that the file was copied to.
    let is_single = known.scope.only.is_some();
    if !same || undone || mirrors || is_single || known.scope.shares.is_some() || known.options.dry_run {
        return Ok(false);
    }
    let (same, count) = (AtomicBool::new(true), AtomicU64::new(0));
    let pool = Pool::new((0..known.old.len()).collect::<Vec<_>>());
    pool.run(vec![Vec::new(); workers], |block, at| {
        if same.load(Ordering::Relaxed) {
            let (all, found) = look(known, at, block)?;
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

/// Whether a directory's entries are as they were left, and their number.
fn look(known: &Known<'_>, at: usize, block: &mut Vec<u8>) -> Result<(bool, u64), Error> {
    let path = known.old.path(at);
    known.old.load(at, block).map_err(|e| known.roots.manifest_error(e))?;
    let Some(dir) = known.roots.volume_dir(path)? else { return Ok((false, 0)) };
    let claims = known.layers.directory(path).map_err(|e| known.roots.manifest_error(e))?;
    let mut count = 0;
    let since = Baseline::of(&known.old);
    let fd = OwnedFd::from(dir.reopen().map_err(|e| known.roots.volume_error("open", path, e))?);
    for record in records(block) {
        let Ok(name) = CString::new(record.name.to_vec()) else { return Ok((false, 0)) };
        let filter = &known.scope.filter;
        let is_out = filter.skips_below(path) || filter.skips(path, &record.name, record.kind == Kind::Dir);
        if claims.later(&name).is_some() || record.flags.kept || is_out {
            continue;
        }
        // If steps follow, what a run's steps edited is installed again.
        if record.flags.orphan || known.steps_follow && !record.is_left_as_image() {
            return Ok((false, 0));
        }
        let found = dir.find(OsStr::from_bytes(&record.name));
        let found = found.map_err(|e| known.roots.volume_error("stat", path, e))?;
        let as_left = match (found, record.as_left()) {
            (None, left) => left.is_none(),
            (Some(stat), Some((kind, _, _, mode, _))) => {
                let look = looks_as_left(Some(&fd), &name, &record, &stat, since);
                let look = look.map_err(|e| known.roots.volume_error("compare", path, e))?;
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
