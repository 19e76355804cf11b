//! Writing the journal. The next manifest is written before anything gets its final name, under a name of its own, and takes
//! its place afterwards: a copy that is cut short in between leaves the old manifest to compare with, and the new one to tell
//! what it had installed already from what was there before.

use std::sync::Arc;

use crate::copy::error::Error;
use crate::copy::io::metadata::Permissions;
use crate::copy::manifest::spill::Sorted;
use crate::copy::manifest::{self, Head, Left, Manifest, Record, records};
use crate::copy::own_files::OwnFiles;
use crate::copy::plan::known::Known;
use crate::copy::tree::node::Node;
use crate::copy::tree::roots::Roots;

/// What was written before anything got its final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// Nothing: the manifest in force says the same already.
    None,
    /// The manifest that is to be in force.
    Manifest,
    /// With what copies that were cut short have left on the volume.
    WithEarlier,
}

/// Writes what is about to be done.
pub(crate) struct Ledger<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) known: &'a Known<'a>,
    pub(crate) files: &'a OwnFiles,
    pub(crate) permissions: &'a Permissions,
}

impl Ledger<'_> {
    /// What the new manifest begins with.
    pub(crate) fn head(&self) -> Head {
        let words = self.permissions.lacks().map(|lacks| lacks.words());
        Head { lacks: words.filter(|words| !words.is_empty()), ..self.known.head.clone() }
    }

    /// Writes what is about to be installed, with what is there of what copies before this one were about to.
    pub(crate) fn note(&self, sorted: &Sorted) -> Result<Note, Error> {
        let failed = |e| self.roots.manifest_error(e);
        let old = &self.known.old;
        let whole = self.known.scope.shares.is_none();
        if whole && self.head() == old.head && sorted.same_as(old).map_err(failed)? {
            return Ok(Note::None);
        }
        let mut found = false;
        let blocks = self.with_earlier(sorted, &mut found);
        let (head, close) = (self.head(), || self.known.intent.notes().for_each(Manifest::close));
        manifest::write_then(self.files.journal()?, (&self.files.next, &head), blocks, close)
            .map_err(failed)?;
        Ok(if found { Note::WithEarlier } else { Note::Manifest })
    }

    /// Journals the files about to be pruned, so that after a crash their absence is not taken for a user's deletion.
    pub(crate) fn note_pruning(&self, sorted: &Sorted) -> Result<(), Error> {
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
        manifest::write(self.files.journal()?, &self.files.next, &self.head(), blocks)
            .map_err(|e| self.roots.manifest_error(e))
    }

    /// Writes which directories are about to get their names as a whole, each as soon as it is complete.
    pub(crate) fn note_pieces(&self, pieces: &[Arc<Node>]) -> Result<(), Error> {
        let failed = |e| self.roots.manifest_error(e);
        let mut blocks: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for node in pieces.iter().filter(|node| node.is_piece()) {
            let mut block = Vec::new();
            Record::directory(node.name.to_bytes()).write(&mut block);
            blocks.extend(node.parent.as_ref().map(|parent| (parent.path(), block)));
        }
        // What an attempt before this one had in mind holds until this one has recorded all it did.
        if let Some(earlier) = self.known.intent.own() {
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
        manifest::write(self.files.journal()?, &self.files.next, &self.head(), blocks).map_err(failed)
    }
}
