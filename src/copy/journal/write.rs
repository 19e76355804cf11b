//! Writing the manifest at the end of a copy. It is written before anything gets its final name, under a name of
//! its own, and takes its place afterwards: a copy that is cut short in between leaves the old manifest to compare
//! with, and the new one to tell what it had installed already from what was there before.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::copy::Request;
use crate::copy::engine::Engine;
use crate::copy::error::Error;
use crate::copy::manifest::{self, Left, Record, records, spill::Sorted};
use crate::copy::shard::merge;
use crate::copy::shard::partition::Shares;
use crate::copy::stage::node::Node;
use crate::support::rooted_dir::Dir;

/// The name of a manifest that is not in force yet.
pub(in crate::copy) fn next_name(name: &OsStr, request: &Request, shares: Option<&Shares>) -> OsString {
    let mut next = merge::part_name(name, request, shares);
    next.push(".next");
    next
}

/// What was written before anything got its final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::copy) enum Note {
    /// Nothing: the manifest in force says the same already.
    None,
    /// The manifest that is to be in force.
    Manifest,
    /// With what copies that were cut short have left on the volume.
    WithEarlier,
}

impl Engine<'_> {
    fn next_name(&self) -> OsString {
        next_name(&self.manifest_name, self.request, self.shares.as_ref())
    }

    /// Where what is not in force is written: notes, and parts of a manifest that several copiers make.
    pub(in crate::copy) fn journal(&self) -> Result<&Dir, Error> {
        let state = self.state.as_ref().ok_or_else(|| Error::request("there is no state directory"))?;
        Ok(&state.journal)
    }

    /// Where the manifest that this copy writes goes.
    pub(in crate::copy) fn manifests(&self) -> Result<&Dir, Error> {
        let state = self.state.as_ref().ok_or_else(|| Error::request("there is no state directory"))?;
        Ok(if self.shares.is_some() { &state.journal } else { &state.manifests })
    }

    pub(in crate::copy) fn manifest_error(&self, error: std::io::Error) -> Error {
        Error::system("write the manifest of", &self.to, error)
    }

    /// Writes what is about to be installed, with what is there of what copies before this one were about to.
    pub(in crate::copy) fn note(&self, sorted: &Sorted) -> Result<Note, Error> {
        if self.shares.is_none()
            && self.head() == self.old.head
            && sorted.same_as(&self.old).map_err(|e| self.manifest_error(e))?
        {
            return Ok(Note::None);
        }
        let mut found = false;
        let blocks = self.with_earlier(sorted, &mut found);
        manifest::write(self.journal()?, &self.next_name(), &self.head(), blocks)
            .map_err(|e| self.manifest_error(e))?;
        Ok(if found { Note::WithEarlier } else { Note::Manifest })
    }

    /// Writes what is about to be pruned: that one of it is gone when a copy is cut short then is no user's doing.
    pub(in crate::copy) fn note_pruning(&self, sorted: &Sorted) -> Result<(), Error> {
        let mut found = false;
        let blocks = self.with_earlier(sorted, &mut found).map(|block| {
            let (path, block) = block?;
            let mut marked = Vec::with_capacity(block.len());
            for record in records(&block) {
                let left = if record.flags.orphan { Left::Absent } else { record.left.clone() };
                Record { left, ..record }.write(&mut marked);
            }
            Ok((path, marked))
        });
        manifest::write(self.journal()?, &self.next_name(), &self.head(), blocks)
            .map_err(|e| self.manifest_error(e))
    }

    /// Writes which directories are about to get their names as a whole, each as soon as it is complete.
    pub(in crate::copy) fn note_pieces(&self, pieces: &[Arc<Node>]) -> Result<(), Error> {
        let failed = |e| self.manifest_error(e);
        let mut blocks: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for node in pieces.iter().filter(|node| node.is_piece()) {
            let mut block = Vec::new();
            Record::directory(node.name.to_bytes()).write(&mut block);
            blocks.extend(node.parent.as_ref().map(|parent| (parent.path(), block)));
        }
        // What an attempt before this one had in mind holds until this one has recorded all it did.
        if let Some(earlier) = self.intent.own() {
            for at in 0..earlier.len() {
                let mut block = Vec::new();
                earlier.load(at, &mut block).map_err(failed)?;
                blocks.push((earlier.path(at).to_vec(), block));
            }
        }
        blocks.sort_by(|a, b| a.0.cmp(&b.0));
        let blocks = blocks.chunk_by(|a, b| a.0 == b.0).map(|pieces| {
            let all: Vec<u8> = pieces.iter().flat_map(|(_, block)| block).copied().collect();
            let mut block = Vec::new();
            manifest::gather(&all, &mut block);
            Ok((Box::from(&*pieces[0].0), block))
        });
        manifest::write(self.journal()?, &self.next_name(), &self.head(), blocks).map_err(failed)
    }

    /// Prunes, and puts the manifest in force.
    pub(in crate::copy) fn prune_and_record(
        &self,
        sorted: &Sorted,
        noted: Note,
        report: &mut crate::copy::Report,
    ) -> Result<(), Error> {
        let failed = |e| self.manifest_error(e);
        let pruned = self.prune(sorted, report)?;
        self.go_on()?;
        let next = self.next_name();
        let name = merge::part_name(&self.manifest_name, self.request, self.shares.as_ref());
        match noted {
            Note::Manifest if !pruned.is_noted && pruned.blocks.is_empty() => {
                let (journal, dir) = (self.journal()?, self.manifests()?);
                journal.rename(&next, dir, &name).map_err(failed)?;
                manifest::sync_directory(dir).map_err(failed)?;
                // What was published has an earlier ctime then, also where rename(2) sets none.
                manifest::touch(dir, &name);
            }
            Note::None if !pruned.is_noted && pruned.blocks.is_empty() => {
                // Of a copy that was cut short, when the image is again what it was before.
                if !self.intent.is_empty() {
                    self.journal()?.remove_all(&next).map_err(failed)?;
                }
                if self.looked.load(Ordering::Relaxed) {
                    // What had been touched was found to be as it was left: it need not be read the next time.
                    manifest::touch(self.manifests()?, &name);
                }
            }
            _ => {
                let dir = self.manifests()?;
                let blocks =
                    sorted.directories().filter_map(|(path, _, range)| match pruned.blocks.get(path) {
                        Some(None) => None,
                        Some(Some(block)) => Some(Ok((Box::from(path), block.clone()))),
                        None => {
                            let mut block = Vec::new();
                            Some(sorted.load(range, &self.old, &mut block).map(|()| (Box::from(path), block)))
                        }
                    });
                manifest::write(dir, &name, &self.head(), blocks).map_err(failed)?;
                self.journal()?.remove_all(&next).map_err(failed)?;
            }
        }
        if self.shares.is_none() && self.intent.has_parts() {
            merge::remove_parts(self.journal()?, &self.manifest_name).map_err(failed)?;
        }
        merge::merge(self, report)
    }
}
