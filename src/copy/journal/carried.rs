//! Carries the notes of interrupted copies over into this copy's note. Each interrupted copy noted what it was about to
//! install before anything got its final name, and the manifest in force does not have it. The content tells what has
//! reached the volume from what users made: the next image, whichever it is, replaces or prunes it as it does anything
//! that a copy installed.
//!
//! An interrupted copy may itself have carried over earlier notes: one name can have several records, of which the
//! volume matches at most one.
//!
//! Only content is compared. If an interrupted copy changed only the mode, owner or attributes of an existing file, and
//! the next image does not, they stay as they are under `keep-modified`: that is no user's edit, but no record says
//! what they should be.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::copy::journal::ledger::Ledger;
use crate::copy::journal::noted::is_pruned;
use crate::copy::manifest::builder::Sorted;
use crate::copy::manifest::{self, Manifest, Record, records};

impl Ledger<'_> {
    /// The directories of the new manifest with their records, plus the entries on the volume that match an earlier
    /// note and neither manifest. `found` says whether there is any such entry.
    pub(crate) fn with_earlier<'a>(
        &'a self,
        sorted: &'a Sorted,
        found: &'a mut bool,
    ) -> impl Iterator<Item = io::Result<(Box<[u8]>, Vec<u8>)>> + 'a {
        let mut new = sorted.directories().peekable();
        let own = self.known.intent.own();
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
                    && let Err(error) = sorted.load(range.clone(), &self.known.old, &mut block)
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

    /// Adds to a directory's new records the entries of `note` that the volume has.
    fn carry_over(&self, note: &Manifest, at: usize, block: &mut Vec<u8>) -> io::Result<()> {
        let path = note.path(at);
        let (mut noted, mut old) = (Vec::new(), Vec::new());
        note.load(at, &mut noted)?;
        if let Some(at) = self.known.old.find(path) {
            self.known.old.load(at, &mut old)?;
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
                None => dir.insert(self.roots.volume_dir(path).map_err(io::Error::other)?),
            };
            let holds = match dir {
                None => is_pruned(&noted),
                Some(dir) if is_pruned(&noted) => dir.find(OsStr::from_bytes(&noted.name))?.is_none(),
                Some(dir) => self.known.has_noted(dir, &noted, &mut buffer)?,
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
}
