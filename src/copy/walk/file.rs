//! Handles a regular file of the image: opens it, reads it until it no longer changes, hashes it; `settle` does the
//! rest.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Stat};

use crate::copy::error::Error;
use crate::copy::io::metadata::time_of;
use crate::copy::io::readahead::Foreseen;
use crate::copy::io::sight::Sight;
use crate::copy::io::transfer::{self, BUFFER};
use crate::copy::manifest::{Block, Content, Hash, Kind, Record};
use crate::copy::stage::source::{ATTEMPTS, Sink};
use crate::copy::tree::entry::{DeferredEntry, DirContext, Entry};
use crate::copy::tree::node::{Node, Target};
use crate::copy::tree::version::{Data, Incoming, Opened, Outcome, Version};
use crate::copy::tree::worker::{Task, Worker};
use crate::copy::walk::context::Walk;
use crate::copy::walk::hard_links::{Claim, First};

/// An open file that fits the buffer.
struct Small {
    file: OwnedFd,
    before: Sight,
    /// Its status, if it was asked for.
    stat: Option<Stat>,
}

/// A directory to which a worker returns: its path and handles.
pub(crate) struct Reopened {
    pub(crate) path: Vec<u8>,
    pub(crate) source: Arc<OwnedFd>,
    pub(crate) made: Option<Arc<OwnedFd>>,
}

impl Reopened {
    pub(crate) fn here<'a>(&'a self, node: &'a Arc<Node>) -> DirContext<'a> {
        DirContext { node, path: &self.path, source: &self.source, made: self.made.as_deref() }
    }
}

impl Walk<'_> {
    pub(crate) fn file(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        foreseen: Foreseen,
    ) -> Result<(), Error> {
        if let Some(version) = self.trusted(here, entry)? {
            self.control.counters.add(1, version.size);
            let incoming = Incoming { version: &version, data: Data::Trusted };
            return self.settle(worker, here, entry, incoming).map(drop);
        }
        let Some(small) = self.open(worker, here, entry.name, foreseen)? else {
            vanished(worker, entry.record);
            return Ok(());
        };
        let is_linked = small.stat.is_some_and(|stat| stat.st_nlink > 1) && !here.node.beside_users;
        if let Some(stat) = &small.stat {
            if is_linked {
                here.node.hold();
                if let Claim::Deferred = self.links.claim(stat, here.node, entry) {
                    return Ok(());
                }
            }
            if transfer::is_large(stat) {
                worker.tasks.push(Task::File(entry.defer(here.node)));
                return Ok(());
            }
        }
        let Some((stat, len, hash)) = self.read_small(worker, here, entry, &small)? else {
            vanished(worker, entry.record);
            return Ok(());
        };
        let failed = |e| self.roots.source_error("read the attributes of", &here.child(entry.name), e);
        worker.xattrs.read(&small.file).map_err(failed)?;
        self.control.counters.add(1, len as u64);
        let from = Opened { file: small.file, stat };
        let version = self.stager.version(worker, &from, len as u64, Content::Hash(hash));
        let incoming = Incoming { version: &version, data: Data::Buffered(len) };
        let outcome = self.settle(worker, here, entry, incoming)?;
        if is_linked {
            let (node, name) = (here.node.clone(), entry.name.to_owned());
            self.links.settled(&stat, First { node, name, version, outcome });
        }
        Ok(())
    }

    /// The version in the manifest, if the file's size and mtime are trusted.
    fn trusted(&self, here: &DirContext<'_>, entry: Entry<'_>) -> Result<Option<Version<'static>>, Error> {
        let known = entry.record.filter(|known| {
            self.known.options.trust_mtime
                && known.kind == Kind::File
                && !matches!(known.content, Content::Target(_))
        });
        let Some(known) = known else { return Ok(None) };
        let stat = self.roots.source_stat(here, entry.name)?;
        let same = transfer::size(&stat) == known.size && time_of(&stat) == known.mtime;
        let plain = stat.st_nlink == 1 && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok((same && plain).then(|| Version {
            kind: Kind::File,
            meta: self.stager.permissions.wanted(&stat),
            size: known.size,
            content: known.content.clone().into_owned(),
            xattrs: known.xattrs,
        }))
    }

    fn open(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        name: &CStr,
        foreseen: Foreseen,
    ) -> Result<Option<Small>, Error> {
        let opened = match foreseen.file {
            None => self.stager.open_file(worker, here, name)?,
            asked_for => asked_for,
        };
        Ok(match (opened, foreseen.seen) {
            // The status known before has to match after the read.
            (Some(file), Some(before)) => Some(Small { file, before, stat: None }),
            (Some(file), None) => {
                let regular = self.stager.regular(worker, here, name, file)?;
                let small =
                    |Opened { file, stat }| Small { file, before: Sight::from(&stat), stat: Some(stat) };
                regular.map(small)
            }
            (None, _) => None,
        })
    }

    /// Reads a file that fits the buffer, again while it changes. If its status was known before and the content
    /// matches its record, the read was complete, and the status is not asked for again. `None` if it kept changing or
    /// is no file any more, which is reported.
    fn read_small(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        small: &Small,
    ) -> Result<Option<(Stat, usize, Hash)>, Error> {
        let recorded = entry.record.and_then(|record| match record.content {
            Content::Hash(hash) => Some(hash),
            _ => None,
        });
        let known = small.stat.zip(recorded);
        let failed = |what, e| self.roots.source_error(what, &here.child(entry.name), e);
        let (mut before, mut last) = (small.before, None);
        for _ in 0..ATTEMPTS {
            let size = usize::try_from(before.size).unwrap_or(BUFFER).min(BUFFER);
            let read = transfer::read_small(&small.file, size, &mut worker.buffer);
            if let (Some((stat, hash)), Ok(len)) = (known, &read)
                && *len == size
                && hash == *blake3::hash(&worker.buffer[..size]).as_bytes()
            {
                return Ok(Some((stat, size, hash)));
            }
            let stat = rustix::fs::fstat(&small.file).map_err(|e| failed("stat", e.into()))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                break;
            }
            let len = read.map_err(|e| failed("read", e))?.min(BUFFER);
            let after = Sight::from(&stat);
            let hash = *blake3::hash(&worker.buffer[..len]).as_bytes();
            // Files of procfs and sysfs hold more than their size says: two equal reads count as stable.
            let pseudo = size == 0 && after.size == 0 && last == Some(hash);
            if len == size && before == after || pseudo {
                return Ok(Some((stat, len, hash)));
            }
            (before, last) = (after, Some(hash));
        }
        worker.report.changed_source.push(here.child(entry.name));
        Ok(None)
    }

    /// Handles a file that is too large or too sparse for the buffer.
    pub(crate) fn file_task(&self, worker: &mut Worker, later: &DeferredEntry) -> Result<(), Error> {
        worker.block.clear();
        worker.orphans = false;
        let node = &later.node;
        let reopened = self.reopened(node)?;
        let here = reopened.here(node);
        let entry = later.entry();
        let from = self.stager.open_source(worker, &here, entry.name)?;
        let done = match &from {
            Some(from) => self.large(worker, &here, entry, from)?,
            None => None,
        };
        match (done, from) {
            (Some((outcome, version)), Some(from)) if from.stat.st_nlink > 1 && !node.beside_users => {
                let (node, name) = (node.clone(), later.name.clone());
                self.links.settled(&from.stat, First { node, name, version, outcome });
            }
            (Some(_), _) => {}
            (None, _) => vanished(worker, entry.record),
        }
        if node.beside_users {
            return Ok(());
        }
        let block = Block::New { records: &worker.block, orphans: worker.orphans };
        self.blocks.add(&reopened.path, block)
    }

    fn large(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        from: &Opened,
    ) -> Result<Option<(Outcome, Version<'static>)>, Error> {
        let failed = |e| self.roots.source_error("read the attributes of", here.path, e);
        worker.xattrs.read(&from.file).map_err(failed)?;
        // A new file is copied and hashed in one pass. Otherwise the hash decides first whether to copy.
        let fresh = entry.record.is_none() && entry.volume.is_none();
        if fresh && !entry.covered && !self.control.dry_run {
            return self.stager.install_large(worker, here, (entry.name, from));
        }
        let sink = Sink { to: None, counted: true };
        let Some((hash, len)) = self.stager.stream(worker, here, (entry.name, from), sink)? else {
            return Ok(None);
        };
        let content = transfer::hashing(&from.stat).content(hash);
        let version = self.stager.version(worker, from, len, content);
        self.control.counters.add(1, 0);
        let incoming = Incoming { version: &version, data: Data::File(from) };
        let outcome = self.settle(worker, here, entry, incoming)?;
        Ok(Some((outcome, version)))
    }

    /// Opens a directory to which a worker returns.
    pub(crate) fn reopened(&self, node: &Node) -> Result<Reopened, Error> {
        let path = node.path();
        let source = node.source().map_err(|e| self.roots.source_error("open", &path, e))?;
        let made = match node.target {
            Target::Existing => Some(node.made().map_err(|e| self.roots.volume_error("open", &path, e))?),
            Target::New | Target::Lazy => None,
        };
        Ok(Reopened { path, source, made })
    }
}

/// An entry that vanished from the source during the copy keeps its record.
fn vanished(worker: &mut Worker, record: Option<&Record<'_>>) {
    if let Some(record) = record {
        record.write(&mut worker.block);
    }
}
