//! Removes what an earlier copy of this owner installed, the image no longer has, nobody has changed, and no other
//! owner has.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Stat};

use crate::copy::error::Error;
use crate::copy::io::mount::is_hidden;
use crate::copy::io::path::{beside, join};
use crate::copy::manifest::{Kind, Payload, Record, records};
use crate::copy::plan::compare::compare_content;
use crate::copy::plan::layers::Claims;
use crate::copy::prune::pruner::{Blocks, Going, Pruner, Victim};
use crate::copy::prune::spellings::Spellings;
use crate::support::rooted_dir::Dir;

/// A directory with records to prune.
struct Directory<'a> {
    path: &'a [u8],
    dir: &'a Dir,
    claims: &'a Claims,
}

impl Pruner<'_> {
    /// Removes the entries that the new manifest marks as no longer in the image. Returns the blocks that this changes.
    pub(crate) fn prune_owned(&self, going: &mut Going<'_>) -> Result<Blocks, Error> {
        let spellings = Spellings::of(self.roots, self.sorted, &self.known.old)?;
        let mut blocks = HashMap::new();
        let candidates: Vec<_> = self.sorted.directories().filter(|(_, orphans, _)| *orphans).collect();
        let mut block = Vec::new();
        // From the last path to the first, so that a directory comes after its content.
        for (path, _, range) in candidates.into_iter().rev() {
            self.sorted.load(range, &self.known.old, &mut block).map_err(|e| self.roots.manifest_error(e))?;
            if self.scope.filter.skips_below(path) || !records(&block).any(|record| record.flags.orphan) {
                continue;
            }
            let kept = self.prune_block((path, &block), &spellings, going, &mut blocks)?;
            if kept != block {
                blocks.insert(path.into(), Some(kept));
            }
        }
        Ok(blocks)
    }

    /// Prunes one directory; returns the records that stay.
    fn prune_block(
        &self,
        (path, block): (&[u8], &[u8]),
        spellings: &Spellings,
        going: &mut Going<'_>,
        blocks: &mut Blocks,
    ) -> Result<Vec<u8>, Error> {
        let dir = self.roots.volume_dir(path)?;
        let hidden = is_hidden(&self.roots.destination, path, dir.as_ref());
        if hidden.map_err(|e| self.roots.volume_error("open", path, e))? {
            // What is mounted there was not installed by a copy.
            return Ok(block.to_vec());
        }
        let claims = self.known.layers.directory(path).map_err(|e| self.roots.manifest_error(e))?;
        let before = going.report.removed;
        let mut kept = Vec::new();
        for record in records(block) {
            self.control.go_on()?;
            let gone = match &dir {
                _ if !record.flags.orphan => false,
                None => true,
                Some(_) if going.plans_above(path) => true,
                // The image has this entry under another spelling.
                Some(_) if spellings.has(path, &record.name) => true,
                Some(dir) => self.prune_entry(&Directory { path, dir, claims: &claims }, &record, going)?,
            };
            if !gone {
                record.write(&mut kept);
            } else if record.kind == Kind::Dir {
                blocks.insert(join(path, &record.name).into(), None);
            }
        }
        let removed = going.report.removed > before && !path.is_empty() && !self.control.dry_run;
        if let Some(dir) = dir.filter(|_| removed) {
            let source = self.roots.source.open_dir(OsStr::from_bytes(path));
            self.mend_times(&dir, source.ok().as_ref(), path)?;
        }
        Ok(kept)
    }

    /// Removes an entry that is no longer in the image, if pruning may. True if it is gone, or would be in a dry run.
    fn prune_entry(
        &self,
        at: &Directory<'_>,
        record: &Record<'_>,
        going: &mut Going<'_>,
    ) -> Result<bool, Error> {
        let name = OsStr::from_bytes(&record.name);
        let here = join(at.path, &record.name);
        let failed = |e: io::Error| self.roots.volume_error("remove", &here, e);
        let Some(stat) = at.dir.find(name).map_err(failed)? else { return Ok(true) };
        if going.plans(&here) {
            return Ok(true);
        }
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let as_left = || is_left(at.dir, record, &stat).map_err(failed);
        if at.claims.has_later(&record.name) {
            return Ok(true);
        }
        if at.claims.is_unknown {
            return Ok(false);
        }
        if at.claims.has(&record.name) {
            // It belongs to the other owner from now on, unless it changed since this one left it.
            let is_left = is_dir || as_left()?;
            // What a user edited is the other's to replace or to keep as the user's.
            if !is_left || !at.claims.has_same(record) {
                going.report.given_back.push(here);
            }
            return Ok(!is_left);
        }
        let stays = self.scope.protected.is_inode(&stat)
            || self.scope.protected.is_path(&here)
            || self.scope.filter.skips(at.path, &record.name, is_dir)
            || record.flags.found
            || record.flags.kept
            || is_dir != (record.kind == Kind::Dir);
        if stays || !is_dir && !as_left()? {
            return Ok(false);
        }
        if is_dir && self.control.dry_run {
            let below = at.dir.open_dir(name).map_err(failed)?;
            let entries = below.entries().map_err(failed)?;
            let all_go = entries.iter().all(|(name, _)| going.plans(&join(&here, name.as_bytes())));
            if !below.is_on_mount_of(at.dir).map_err(failed)? || !all_go {
                return Ok(false);
            }
        }
        let removed = self.remove(&Victim { dir: at.dir, name, path: &here, is_dir }, going)?;
        if removed && !is_dir {
            self.remove_beside(at, record, going)?;
        }
        Ok(removed)
    }

    /// Removes the `NAME.from-image` that a conflict left beside an entry which is now gone, unless somebody has
    /// changed it.
    fn remove_beside(
        &self,
        at: &Directory<'_>,
        record: &Record<'_>,
        going: &mut Going<'_>,
    ) -> Result<(), Error> {
        let Ok(name) = CString::new(&*record.name) else { return Ok(()) };
        let beside = beside(&name, ".from-image");
        let here = join(at.path, beside.to_bytes());
        let name = OsStr::from_bytes(beside.to_bytes());
        let failed = |e: io::Error| self.roots.volume_error("remove", &here, e);
        let Some(stat) = at.dir.find(name).map_err(failed)? else { return Ok(()) };
        let same = compare_content(at.dir, &beside, record.payload(), &stat, &mut Vec::new());
        if same.map_err(failed)? {
            self.remove(&Victim { dir: at.dir, name, path: &here, is_dir: false }, going)?;
        }
        Ok(())
    }
}

/// Whether the volume has what the last run left. Reads the content, because it is about to be removed.
fn is_left(dir: &Dir, record: &Record<'_>, stat: &Stat) -> io::Result<bool> {
    let Some(left): Option<Payload<'_>> = record.payload_left() else { return Ok(false) };
    let Ok(name) = CString::new(record.name.to_vec()) else { return Ok(false) };
    compare_content(dir, &name, left, stat, &mut Vec::new())
}
