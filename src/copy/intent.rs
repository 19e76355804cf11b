//! What a copy that was cut short was about to install. It had noted that before anything got its final name, and the
//! manifest in force says nothing of it: what has come to the volume is found here, told by its content from what users
//! did, so that the next image, whichever that is, replaces or prunes it like anything that a copy installed.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Stat};

use super::compare::compare_content;
use super::engine::{Engine, Worker};
use super::entry::{Entry, Here};
use super::error::Error;
use super::listing::Listing;
use super::manifest::{Block, Kind, Manifest, Record, records};
use super::path::join;

/// Where a worker is in the records that were noted: it asks for the names of a directory in their order.
#[derive(Debug, Default)]
pub(super) struct Noted {
    dir: Option<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
    last: Vec<u8>,
}

impl Noted {
    fn find(&mut self, intent: &Manifest, dir: &[u8], name: &[u8]) -> io::Result<Option<Record<'_>>> {
        if self.dir.as_deref() != Some(dir) {
            self.dir = None;
            self.block.clear();
            if let Some(at) = intent.find(dir) {
                intent.load(at, &mut self.block)?;
            }
            self.dir = Some(dir.to_vec());
            self.at = 0;
        }
        if *name < *self.last {
            self.at = 0;
        }
        self.last.clear();
        self.last.extend_from_slice(name);
        let mut at = self.at;
        for line in self.block[at..].split_inclusive(|b| *b == b'\n') {
            let Some(record) = Record::parse(line.strip_suffix(b"\n").unwrap_or(line)) else { break };
            match (*record.name).cmp(name) {
                std::cmp::Ordering::Less => at += line.len(),
                std::cmp::Ordering::Equal => {
                    self.at = at;
                    return Ok(Some(record));
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        self.at = at;
        Ok(None)
    }
}

impl Engine<'_> {
    /// Whether a copy that was cut short was about to install this.
    pub(super) fn intended(&self, dir: &[u8], name: &CStr) -> bool {
        if self.intent.len() == 0 {
            return false;
        }
        let (mut dir, mut name) = (dir, name.to_bytes());
        let at = loop {
            match (self.intent.find(dir), dir.iter().rposition(|b| *b == b'/')) {
                (Some(at), _) => break at,
                // Of a directory that was to get its name as a whole, the one that it is in tells.
                (None, Some(slash)) => (dir, name) = (&dir[..slash], &dir[slash + 1..]),
                (None, None) if dir.is_empty() => return false,
                (None, None) => (dir, name) = (b"", dir),
            }
        };
        let mut block = Vec::new();
        self.intent.load(at, &mut block).is_ok()
            && records(&block).any(|r: Record<'_>| *r.name == *name && !r.flags.found && !r.flags.kept)
    }

    /// The record that was noted of a file or link, where the volume has what it says and the manifest in force says
    /// something else.
    pub(super) fn as_noted(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
    ) -> Result<Option<Record<'static>>, Error> {
        let (Some(made), Some(stat)) = (here.made, entry.volume) else { return Ok(None) };
        if self.intent.len() == 0 || here.node.aside {
            return Ok(None);
        }
        let failed = |e| self.volume_error("compare", &here.child(entry.name), e);
        let noted = worker.noted.find(&self.intent, here.path, entry.name.to_bytes()).map_err(failed)?;
        let Some(noted) = noted.filter(|noted| entry.record.is_none_or(|r| r.content != noted.content))
        else {
            return Ok(None);
        };
        let there =
            noted.kind != Kind::Dir && is_there(made, &noted, stat, &mut worker.other).map_err(failed)?;
        Ok(there.then(|| noted.into_owned()))
    }

    /// What was noted in a directory, has come to the volume, and is neither in the image nor in the manifest in force:
    /// for pruning to decide, like anything that an earlier release had.
    pub(super) fn noted_only(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        listing: &Listing,
        old: &[u8],
    ) -> Result<(), Error> {
        let Some(at) = self.intent.find(here.path) else { return Ok(()) };
        let Some(made) = here.made.filter(|_| !here.node.aside) else { return Ok(()) };
        let mut block = Vec::new();
        self.intent.load(at, &mut block).map_err(|e| self.manifest_error(e))?;
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
    pub(super) fn noted_below(&self, worker: &mut Worker, path: &[u8]) -> Result<(), Error> {
        let (mut block, mut marked) = (Vec::new(), Vec::new());
        for at in self.intent.subtree(path) {
            let path = self.intent.path(at);
            let Some(dir) = self.volume_dir(path)? else { continue };
            self.intent.load(at, &mut block).map_err(|e| self.manifest_error(e))?;
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

    fn has_noted(&self, dir: impl AsFd, noted: &Record<'_>, buffer: &mut Vec<u8>) -> io::Result<bool> {
        let nofollow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::statat(&dir, OsStr::from_bytes(&noted.name), nofollow) {
            Ok(stat) => {
                let is_protected = self.protected.contains(&(stat.st_dev, stat.st_ino));
                Ok(!is_protected && is_there(dir, noted, &stat, buffer)?)
            }
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
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
