//! What copies that were cut short were about to install. Each had noted that before anything got its final name, and
//! the manifest in force says nothing of it: what has come to the volume is found here, told by its content from what
//! users did, so that the next image, whichever that is, replaces or prunes it like anything that a copy installed.
//!
//! A copy that is cut short in turn has carried over what it found of the notes before its own: of one name there may
//! be several records, of which the volume has one at most.
//!
//! Content alone is looked for. A mode, owner or attribute that such a copy gave to what was there before, and that the
//! next image does not change, stays under `keep-modified`: it is no user's edit, and no record says what it was given.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Stat};

use crate::copy::engine::{Engine, Worker};
use crate::copy::error::Error;
use crate::copy::io::listing::Listing;
use crate::copy::io::path::join;
use crate::copy::manifest::spill::Sorted;
use crate::copy::manifest::{self, Block, Kind, Left, Manifest, Record, records};
use crate::copy::plan::compare::compare_content;
use crate::copy::plan::entry::{Entry, Here};

impl Engine<'_> {
    /// Whether a copy that was cut short was about to install this.
    pub(in crate::copy) fn intended(&self, dir: &[u8], name: &CStr) -> bool {
        self.intent.notes().any(|note| is_noted(note, dir, name.to_bytes()))
    }

    /// The record that was noted of a file or link, where the volume has what it says and the manifest in force says
    /// something else.
    pub(in crate::copy) fn as_noted(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
    ) -> Result<Option<Record<'static>>, Error> {
        let (Some(made), Some(stat)) = (here.made, entry.volume) else { return Ok(None) };
        if self.intent.is_empty() || here.node.aside {
            return Ok(None);
        }
        let failed = |e| self.volume_error("compare", &here.child(entry.name), e);
        for noted in worker.noted.find(&self.intent, here.path, entry.name.to_bytes()).map_err(failed)? {
            if noted.kind != Kind::Dir
                && entry.record.is_none_or(|r| r.content != noted.content)
                && is_there(made, &noted, stat, &mut worker.other).map_err(failed)?
            {
                return Ok(Some(noted.into_owned()));
            }
        }
        Ok(None)
    }

    /// Whether a copy that was cut short was about to prune this.
    pub(in crate::copy) fn was_pruned(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
    ) -> Result<bool, Error> {
        if self.intent.is_empty() || here.node.aside {
            return Ok(false);
        }
        let failed = |e| self.volume_error("compare", &here.child(name), e);
        let mut noted = worker.noted.find(&self.intent, here.path, name.to_bytes()).map_err(failed)?;
        Ok(noted.any(|noted| is_pruned(&noted)))
    }

    /// What was noted in a directory, has come to the volume, and is neither in the image nor in the manifest in force:
    /// for pruning to decide, like anything that an earlier release had.
    pub(in crate::copy) fn noted_only(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        listing: &Listing,
        old: &[u8],
    ) -> Result<(), Error> {
        let Some(made) = here.made.filter(|_| !here.node.aside) else { return Ok(()) };
        let mut block = Vec::new();
        self.intent.load(here.path, &mut block).map_err(|e| self.manifest_error(e))?;
        let mut old = records(old).peekable();
        let mut marked = Vec::new();
        for mut noted in records(&block) {
            while old.next_if(|record| record.name < noted.name).is_some() {}
            let known = old.peek().is_some_and(|record| record.name == noted.name);
            let is_dir = noted.kind == Kind::Dir;
            if known
                || listing.has(&noted.name)
                || !self.is_mine(here, &noted.name, false)
                || self.filter.skips(here.path, &noted.name, is_dir)
            {
                continue;
            }
            let path = join(here.path, &noted.name);
            if !self
                .has_noted(made, &noted, &mut worker.other)
                .map_err(|e| self.volume_error("compare", &path, e))?
            {
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
        self.add_block(here.path, Block::New { records: &marked, orphans: true })
    }

    /// What was noted and has come to the volume, of all that is below a directory.
    pub(in crate::copy) fn noted_below(&self, worker: &mut Worker, path: &[u8]) -> Result<(), Error> {
        let (mut block, mut marked) = (Vec::new(), Vec::new());
        for path in self.intent.subtree(path) {
            let Some(dir) = self.volume_dir(path)? else { continue };
            self.intent.load(path, &mut block).map_err(|e| self.manifest_error(e))?;
            marked.clear();
            for mut noted in records(&block) {
                let there = self.has_noted(&dir, &noted, &mut worker.other);
                if there.map_err(|e| self.volume_error("compare", &join(path, &noted.name), e))? {
                    noted.flags.orphan = true;
                    noted.write(&mut marked);
                }
            }
            self.add_block(path, Block::New { records: &marked, orphans: true })?;
        }
        Ok(())
    }

    /// The directories of the new manifest with their records, and with what is on the volume as a copy before this one had
    /// noted it, where neither the manifest in force nor the new one says the same: `found` tells whether there is any.
    pub(in crate::copy) fn with_earlier<'a>(
        &'a self,
        sorted: &'a Sorted,
        found: &'a mut bool,
    ) -> impl Iterator<Item = io::Result<(Box<[u8]>, Vec<u8>)>> + 'a {
        let mut new = sorted.directories().peekable();
        let own = self.intent.own();
        let mut earlier = (0..own.map_or(0, Manifest::len)).peekable();
        std::iter::from_fn(move || {
            loop {
                let noted = own.zip(earlier.peek().copied());
                let path = match (new.peek(), noted) {
                    (None, None) => return None,
                    (Some((path, ..)), None) => *path,
                    (None, Some((note, at))) => note.path(at),
                    (Some((path, ..)), Some((note, at))) => (*path).min(note.path(at)),
                };
                let mut block = Vec::new();
                let is_new = new.next_if(|next| next.0 == path);
                if let Some((_, _, range)) = &is_new
                    && let Err(error) = sorted.load(range.clone(), &self.old, &mut block)
                {
                    return Some(Err(error));
                }
                let before = block.len();
                if let Some((note, at)) = noted.filter(|(note, at)| note.path(*at) == path) {
                    earlier.next();
                    if let Err(error) = self.carry_over(note, at, &mut block) {
                        return Some(Err(error));
                    }
                    *found |= block.len() > before;
                }
                if is_new.is_some() || block.len() > before {
                    return Some(Ok((path.into(), block)));
                }
            }
        })
    }

    /// Adds to a directory's new records what is on the volume as `note` has it.
    fn carry_over(&self, note: &Manifest, at: usize, block: &mut Vec<u8>) -> io::Result<()> {
        let path = note.path(at);
        let (mut noted, mut old) = (Vec::new(), Vec::new());
        note.load(at, &mut noted)?;
        if let Some(at) = self.old.find(path) {
            self.old.load(at, &mut old)?;
        }
        let (mut known, mut superseded) = (records(&old).peekable(), records(block).peekable());
        let (mut dir, mut buffer, mut carried) = (None, Vec::new(), Vec::new());
        for noted in records(&noted) {
            while known.next_if(|record| record.name < noted.name).is_some() {}
            while superseded.next_if(|record| record.name < noted.name).is_some() {}
            let says = |record: &Record<'_>| record.name == noted.name && record.content == noted.content;
            let is_known = known.peek().is_some_and(says)
                || superseded.peek().is_some_and(|r| says(r) && !r.flags.orphan && !r.flags.kept);
            if is_known && !is_pruned(&noted) {
                continue;
            }
            let dir = match &dir {
                Some(dir) => dir,
                None => dir.insert(self.volume_dir(path).map_err(io::Error::other)?),
            };
            let holds = match dir {
                None => is_pruned(&noted),
                Some(dir) if is_pruned(&noted) => dir.find(OsStr::from_bytes(&noted.name))?.is_none(),
                Some(dir) => self.has_noted(dir, &noted, &mut buffer)?,
            };
            if holds {
                noted.write(&mut carried);
            }
        }
        drop((known, superseded));
        if !carried.is_empty() {
            let mut all = std::mem::take(block);
            all.append(&mut carried);
            manifest::gather(&all, block);
        }
        Ok(())
    }

    fn has_noted(&self, dir: impl AsFd, noted: &Record<'_>, buffer: &mut Vec<u8>) -> io::Result<bool> {
        let nofollow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::statat(&dir, OsStr::from_bytes(&noted.name), nofollow) {
            Ok(stat) => Ok(!self.protected.is_inode(&stat) && is_there(dir, noted, &stat, buffer)?),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Whether it is noted of something that it goes, not that it comes.
fn is_pruned(noted: &Record<'_>) -> bool {
    noted.flags.orphan && noted.left == Left::Absent
}

fn is_noted<'a>(note: &Manifest, mut dir: &'a [u8], mut name: &'a [u8]) -> bool {
    let at = loop {
        match (note.find(dir), dir.iter().rposition(|b| *b == b'/')) {
            (Some(at), _) => break at,
            // Of a directory that was to get its name as a whole, the one that it is in tells.
            (None, Some(slash)) => (dir, name) = (&dir[..slash], &dir[slash + 1..]),
            (None, None) if dir.is_empty() => return false,
            (None, None) => (dir, name) = (b"", dir),
        }
    };
    let mut block = Vec::new();
    note.load(at, &mut block).is_ok()
        && records(&block).any(|r: Record<'_>| *r.name == *name && !r.flags.found && !r.flags.kept)
}

/// Whether the volume has what was noted, read in full.
fn is_there(dir: impl AsFd, noted: &Record<'_>, stat: &Stat, buffer: &mut Vec<u8>) -> io::Result<bool> {
    if noted.flags.kept || noted.flags.orphan {
        return Ok(false);
    }
    let Some((kind, size, _, _, content)) = noted.as_left() else { return Ok(false) };
    if kind == Kind::Dir {
        return Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
    }
    let Ok(name) = CString::new(noted.name.to_vec()) else { return Ok(false) };
    compare_content(dir, &name, kind, size, content, stat, buffer)
}
