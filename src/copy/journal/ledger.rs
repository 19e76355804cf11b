//! Writes the journal. The next manifest is written, under a name of its own, before anything gets its final name, and
//! replaces the old one afterwards. After an interruption the old manifest is there to compare with, and the next one
//! tells what this copy installed from what was there before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::copy::error::Error;
use crate::copy::io::metadata::Permissions;
use crate::copy::manifest::builder::Sorted;
use crate::copy::manifest::{self, Head, Left, Manifest, Record, records};
use crate::copy::own_files::OwnFiles;
use crate::copy::plan::known::Known;
use crate::copy::tree::node::Node;
use crate::copy::tree::roots::Roots;

/// What the journal holds before the first rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// Nothing: the manifest in force is the same.
    None,
    /// The next manifest.
    Manifest,
    /// The next manifest, plus what interrupted copies left on the volume.
    WithEarlier,
}

/// Writes the journal.
pub(crate) struct Ledger<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) known: &'a Known<'a>,
    pub(crate) files: &'a OwnFiles,
    pub(crate) permissions: &'a Permissions,
}

impl Ledger<'_> {
    /// The head of the new manifest.
    pub(crate) fn head(&self) -> Head {
        let words = self.permissions.lacks().map(|lacks| lacks.words());
        let old = &self.known.old;
        let compared = self.known.left_out.load(Ordering::Relaxed);
        Head {
            lacks: words.filter(|words| !words.is_empty()),
            compared: compared.then(|| old.head.compared.unwrap_or(old.written)),
            ..self.known.head.clone()
        }
    }

    /// Notes what is about to be installed, and what earlier interrupted copies left on the volume.
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

    /// Notes which whole directories are about to get their names, each as soon as it is complete.
    pub(crate) fn note_pieces(&self, pieces: &[Arc<Node>]) -> Result<(), Error> {
        let failed = |e| self.roots.manifest_error(e);
        let mut blocks: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for node in pieces.iter().filter(|node| node.is_piece()) {
            let mut block = Vec::new();
            Record::directory(node.name.to_bytes()).write(&mut block);
            blocks.extend(node.parent.as_ref().map(|parent| (parent.path(), block)));
        }
        // An earlier attempt's note stays valid until this copy has recorded everything.
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
