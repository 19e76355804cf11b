//! Reads the notes of interrupted copies: what each was about to install. Knows manifests, not the volume;
//! `plan/known.rs` and `carried.rs` compare the two.
//!
//! The part manifests of shards count as notes as well if they were never merged: one shard did not finish, and the
//! next copy belongs to another run.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;

use crate::copy::io::path::parent;
use crate::copy::manifest::{self, Flags, Manifest, Reading, Record, records};
use crate::copy::own_files::OwnFiles;
use crate::copy::request::Request;
use crate::copy::shard::names;
use crate::copy::shard::partition::Shares;

#[derive(Debug, Default)]
pub(crate) struct Intent {
    /// The note of the last copy, under the name that this copy's note will have.
    own: Option<Manifest>,
    /// Parts, and notes of parts, of another run's shards that were never merged.
    parts: Vec<Manifest>,
    /// Directories that those shards walked through but whose recording shard did not finish, as parent and name: they
    /// may have existed before.
    unrecorded: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

impl Intent {
    pub(crate) fn read(files: &OwnFiles, request: &Request, shares: Option<&Shares>) -> io::Result<Self> {
        let Some(state) = &files.state else { return Ok(Self::default()) };
        let dir = &state.journal;
        let read = |name: &OsStr| {
            Ok(match Manifest::read(dir, name)? {
                Reading::Read(note) => Some(note),
                Reading::Absent | Reading::Unusable => None,
            })
        };
        let parts = names::parts_of_others(dir, &files.manifest, request, shares)?;
        let parts = parts.iter().filter_map(|part| read(part).transpose()).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { own: read(&files.next)?, unrecorded: unrecorded(&parts)?, parts })
    }

    pub(crate) fn notes(&self) -> impl Iterator<Item = &Manifest> {
        self.own.iter().chain(&self.parts)
    }

    pub(crate) fn own(&self) -> Option<&Manifest> {
        self.own.as_ref()
    }

    pub(crate) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.notes().next().is_none()
    }

    /// Whether anything in a directory was noted.
    pub(crate) fn has(&self, path: &[u8]) -> bool {
        self.notes().any(|note| note.find(path).is_some())
    }

    /// Reads the notes about a directory, sorted by name, into `into` (cleared first).
    pub(crate) fn load(&self, dir: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
        let mut all = Vec::new();
        into.clear();
        for (note, at) in self.notes().filter_map(|note| Some((note, note.find(dir)?))) {
            note.load(at, into)?;
            all.append(into);
        }
        for (_, name) in self.unrecorded.range((dir.to_vec(), Vec::new())..).take_while(|(at, _)| at == dir) {
            let flags = Flags { found: true, ..Flags::default() };
            Record { flags, ..Record::directory(name) }.write(&mut all);
        }
        manifest::gather(&all, into);
        Ok(())
    }

    /// The paths with notes, at and below a directory.
    pub(crate) fn subtree(&self, path: &[u8]) -> BTreeSet<&[u8]> {
        self.notes().flat_map(|note| note.subtree(path).map(|at| note.path(at))).collect()
    }
}

fn unrecorded(parts: &[Manifest]) -> io::Result<BTreeSet<(Vec<u8>, Vec<u8>)>> {
    let split = |path: &[u8]| {
        let parent = parent(path)?;
        let name = path[parent.len()..].iter().copied().skip_while(|b| *b == b'/');
        Some((parent.to_vec(), name.collect()))
    };
    let paths = |part: &Manifest| (0..part.len()).filter_map(|at| split(part.path(at))).collect::<Vec<_>>();
    let mut unrecorded: BTreeSet<_> = parts.iter().flat_map(paths).collect();
    let mut block = Vec::new();
    for part in parts {
        for at in 0..part.len() {
            part.load(at, &mut block)?;
            for record in records(&block) {
                unrecorded.remove(&(part.path(at).to_vec(), record.name.to_vec()));
            }
        }
    }
    Ok(unrecorded)
}

/// A worker's position in the noted records: it asks for a directory's names in order.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    dir: Option<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
    last: Vec<u8>,
}

impl Noted {
    /// The noted record of a name.
    pub(crate) fn find(
        &mut self,
        intent: &Intent,
        dir: &[u8],
        name: &[u8],
    ) -> io::Result<impl Iterator<Item = Record<'_>>> {
        if self.dir.as_deref() != Some(dir) {
            self.dir = None;
            intent.load(dir, &mut self.block)?;
            self.dir = Some(dir.to_vec());
            self.at = 0;
        }
        if *name < *self.last {
            self.at = 0;
        }
        self.last.clear();
        self.last.extend_from_slice(name);
        for line in self.block[self.at..].split_inclusive(|b| *b == b'\n') {
            match Record::parse(line.strip_suffix(b"\n").unwrap_or(line)) {
                Some(record) if *record.name < *name => self.at += line.len(),
                _ => break,
            }
        }
        let name = &*self.last;
        Ok(records(&self.block[self.at..]).take_while(move |record| *record.name == *name))
    }
}
