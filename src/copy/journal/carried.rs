//! What copies that were cut short were about to install, carried over into the note of this one. Each had noted that before
//! anything got its final name, and the manifest in force says nothing of it: what has come to the volume is told by its
//! content from what users did, so that the next image, whichever that is, replaces or prunes it like anything that a copy
//! installed.
//!
//! A copy that is cut short in turn has carried over what it found of the notes before its own: of one name there may
//! be several records, of which the volume has one at most.
//!
//! Content alone is looked for. A mode, owner or attribute that such a copy gave to what was there before, and that the
//! next image does not change, stays under `keep-modified`: it is no user's edit, and no record says what it was given.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::copy::journal::ledger::Ledger;
use crate::copy::journal::noted::is_pruned;
use crate::copy::manifest::spill::Sorted;
use crate::copy::manifest::{self, Manifest, Record, records};

impl Ledger<'_> {
    /// The directories of the new manifest with their records, and with what is on the volume as a copy before this one had
    /// noted it, where neither the manifest in force nor the new one says the same: `found` tells whether there is any.
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

    /// Adds to a directory's new records what is on the volume as `note` has it.
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
