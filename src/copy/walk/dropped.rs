//! Records of entries that the image does not have: kept if the entry takes no part, otherwise marked for pruning,
//! together with what interrupted copies had installed.

use std::ffi::CString;
use std::sync::atomic::Ordering;

use crate::copy::error::Error;
use crate::copy::io::listing::Listing;
use crate::copy::io::path::join;
use crate::copy::manifest::{Block, Kind, Record, records};
use crate::copy::options::Prune;
use crate::copy::plan::layers::Claims;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::worker::Worker;
use crate::copy::walk::context::Walk;

impl Walk<'_> {
    /// Keeps a record and those below it: the entry takes no part in this copy.
    pub(crate) fn retain(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        record: Option<&Record<'_>>,
    ) -> Result<(), Error> {
        let Some(record) = record else { return Ok(()) };
        self.left_out(record.clone()).write(&mut worker.block);
        worker.orphans |= record.flags.orphan;
        if record.kind == Kind::Dir {
            let recorded = here.node.recorded_path();
            let (mut block, mut marked) = (Vec::new(), Vec::new());
            let old = &self.known.old;
            for at in old.subtree(&join(&recorded, &record.name)) {
                old.load(at, &mut block).map_err(|e| Error::system("read", "the manifest", e))?;
                marked.clear();
                let mut orphans = false;
                for record in records(&block) {
                    orphans |= record.flags.orphan;
                    self.left_out(record).write(&mut marked);
                }
                let new = Block::New { records: &marked, orphans };
                let block = if marked == block { Block::Old(at) } else { new };
                self.blocks.add(&moved(old.path(at), &recorded, here.path), block)?;
            }
        }
        Ok(())
    }

    /// The record of an entry that the image no longer has. Pruning compares it with the volume.
    fn orphan<'r>(&self, mut record: Record<'r>) -> Record<'r> {
        record.flags.orphan = true;
        if self.known.options.prune == Prune::None { self.left_out(record) } else { record }
    }

    /// The record of a file or link that this copy does not compare with the volume.
    fn left_out<'r>(&self, mut record: Record<'r>) -> Record<'r> {
        if record.kind != Kind::Dir {
            record.flags.left_out = true;
            self.known.left_out.store(true, Ordering::Relaxed);
        }
        record
    }

    /// Marks a record and those below it for pruning: the image no longer has the entry.
    pub(crate) fn dropped(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        mut record: Record<'_>,
    ) -> Result<(), Error> {
        if !self.scope.is_mine(here, &record.name, false) {
            return Ok(());
        }
        if self.scope.leaves_out(here, &record.name, record.kind == Kind::Dir) {
            return self.retain(worker, here, Some(&record));
        }
        if record.kind == Kind::Dir {
            // Of two records with one name, the first counts.
            self.noted_below(worker, &join(here.path, &record.name))?;
            self.orphan_subtree(worker, here, &record.name)?;
        } else if let (Some(made), Ok(name)) =
            (here.made.filter(|_| !self.known.intent.is_empty()), CString::new(&*record.name))
        {
            let volume = self.roots.look(made, here, &name)?;
            let (volume, known) = (volume.as_ref(), Some(&record));
            let entry = Entry { name: &name, record: known, volume, base: None, covered: false };
            record = self.known.as_noted(worker, here, entry)?.unwrap_or(record);
        }
        if record.kind != Kind::Dir {
            let claims = std::mem::take(&mut worker.claims);
            self.give_back(worker, here.path, &record, &claims);
            worker.claims = claims;
        }
        self.orphan(record).write(&mut worker.block);
        worker.orphans = true;
        Ok(())
    }

    /// Reports a name that this owner's image has just lost and an earlier owner has: it is that one's again. With pruning, the
    /// pruner reports it.
    fn give_back(&self, worker: &mut Worker, dir: &[u8], record: &Record<'_>, claims: &Claims) {
        let is_theirs = claims.has(&record.name) && !claims.has_later(&record.name);
        if self.known.options.prune == Prune::None && !record.flags.orphan && is_theirs {
            worker.report.given_back.push(join(dir, &record.name));
        }
    }

    /// Marks every record below a directory as no longer in the image.
    fn orphan_subtree(&self, worker: &mut Worker, here: &DirContext<'_>, name: &[u8]) -> Result<(), Error> {
        let (mut block, mut marked) = (Vec::new(), Vec::new());
        let recorded = here.node.recorded_path();
        let old = &self.known.old;
        for at in old.subtree(&join(&recorded, name)) {
            old.load(at, &mut block).map_err(|e| Error::system("read", "the manifest", e))?;
            marked.clear();
            let path = moved(old.path(at), &recorded, here.path);
            let claims = self.known.layers.directory(&path).map_err(|e| self.roots.manifest_error(e))?;
            for record in records(&block) {
                if record.kind != Kind::Dir {
                    self.give_back(worker, &path, &record, &claims);
                }
                self.orphan(record).write(&mut marked);
            }
            let same = marked == block;
            let block = if same { Block::Old(at) } else { Block::New { records: &marked, orphans: true } };
            self.blocks.add(&path, block)?;
        }
        Ok(())
    }

    /// Marks for pruning what was noted in a directory, has reached the volume, and is neither in the image nor in the
    /// manifest in force.
    pub(crate) fn noted_only(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        listing: &Listing,
        old: &[u8],
    ) -> Result<(), Error> {
        let Some(made) = here.made.filter(|_| !here.node.beside_users) else { return Ok(()) };
        let mut block = Vec::new();
        self.known.intent.load(here.path, &mut block).map_err(|e| self.roots.manifest_error(e))?;
        let mut old = records(old).peekable();
        let mut marked = Vec::new();
        for mut noted in records(&block) {
            while old.next_if(|record| record.name < noted.name).is_some() {}
            let known = old.peek().is_some_and(|record| record.name == noted.name);
            let is_dir = noted.kind == Kind::Dir;
            if known
                || listing.has(&noted.name)
                || !self.scope.is_mine(here, &noted.name, false)
                || self.scope.leaves_out(here, &noted.name, is_dir)
            {
                continue;
            }
            let path = join(here.path, &noted.name);
            let there = self.known.has_noted(made, &noted, &mut worker.other);
            if !there.map_err(|e| self.roots.volume_error("compare", &path, e))? {
                continue;
            }
            if is_dir {
                self.noted_below(worker, &path)?;
            }
            noted.flags.orphan = true;
            noted.write(&mut marked);
        }
        if marked.is_empty() {
            return Ok(());
        }
        self.blocks.add(here.path, Block::New { records: &marked, orphans: true })
    }

    /// The same for everything below a directory.
    fn noted_below(&self, worker: &mut Worker, path: &[u8]) -> Result<(), Error> {
        let (mut block, mut marked) = (Vec::new(), Vec::new());
        for path in self.known.intent.subtree(path) {
            let Some(dir) = self.roots.volume_dir(path)? else { continue };
            self.known.intent.load(path, &mut block).map_err(|e| self.roots.manifest_error(e))?;
            marked.clear();
            for mut noted in records(&block) {
                let there = self.known.has_noted(&dir, &noted, &mut worker.other);
                let failed = |e| self.roots.volume_error("compare", &join(path, &noted.name), e);
                if there.map_err(failed)? {
                    noted.flags.orphan = true;
                    noted.write(&mut marked);
                }
            }
            self.blocks.add(path, Block::New { records: &marked, orphans: true })?;
        }
        Ok(())
    }
}

/// Moves a path from below `from` to below `to`.
fn moved(path: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let below = path.strip_prefix(from).unwrap_or(path);
    join(to, below.strip_prefix(b"/").unwrap_or(below))
}
