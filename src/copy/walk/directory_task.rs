//! Merges three sorted lists name by name: a source directory, the directory on the volume, and its block of the
//! manifest. Files are handled at once, directories become tasks.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::FileType;

use crate::copy::error::Error;
use crate::copy::io::listing::Listing;
use crate::copy::io::readahead::{Foreseen, WINDOW};
use crate::copy::io::sight::Sight;
use crate::copy::manifest::{Block, records};
use crate::copy::plan::layers::Claims;
use crate::copy::tree::entry::DirContext;
use crate::copy::tree::node::{Node, Target};
use crate::copy::tree::worker::{Task, Worker};
use crate::copy::walk::context::Walk;
use crate::copy::walk::entry::Found;
use crate::copy::walk::respelled::Respelled;

/// A directory with at least twice this many entries is split into parts of this size if its first entries had to wait,
/// as on a network volume or with a cold source: only the creation of a name locks the directory. Work of the processor
/// is not split: the others would spin in the kernel for the directory's lock, which on xfs took 20 % of a copy's
/// processor time.
const PART: usize = 128;
/// The same if several copiers share the tree: a large part at the end would delay them all.
const PART_OF_SHARE: usize = 16;
/// The number of first entries to judge by: each of them must have waited at least once.
const FIRST: usize = 32;

/// The content of a source directory.
struct Contents<'a> {
    path: &'a [u8],
    source: &'a OwnedFd,
    listing: &'a Listing,
    /// The status of each name that needs no further look.
    files: &'a [Option<Sight>],
}

impl Walk<'_> {
    pub(crate) fn directory_task(&self, worker: &mut Worker, node: Arc<Node>) -> Result<(), Error> {
        let path = node.path();
        let source = node.source().map_err(|e| self.roots.source_error("open", &path, e))?;
        let stat = rustix::fs::fstat(&*source).map_err(|e| self.roots.source_error("stat", &path, e))?;
        let _ = node.meta.set(self.stager.permissions.wanted(&stat));
        if node.target == Target::New {
            self.stager.place(&node)?;
        }
        node.relieve(self.queue.budget);
        // Taken out of the worker, because the worker is borrowed below.
        let (mut listing, files) = if let Some(seen) = self.seen.take(&path, Sight::from(&stat)) {
            (seen.listing, seen.files)
        } else {
            let mut listing = std::mem::take(&mut worker.listing);
            self.list(worker, &node, (&path, &source), &mut listing)?;
            (listing, Vec::new())
        };
        let mut old = std::mem::take(&mut worker.old);
        let contents = Contents { path: &path, source: &source, listing: &listing, files: &files };
        let walked = self.walk(worker, &node, &contents, &mut old);
        worker.ahead.clear(&self.queue.spare);
        listing.shrink();
        worker.listing = listing;
        worker.old = old;
        walked?;
        self.queue.pool.push_all(&mut worker.tasks);
        drop(source);
        self.finish(worker, node)
    }

    fn list(
        &self,
        worker: &mut Worker,
        node: &Node,
        (path, source): (&[u8], &OwnedFd),
        listing: &mut Listing,
    ) -> Result<(), Error> {
        match self.roots.single.as_ref().filter(|_| node.parent.is_none()) {
            Some(single) => listing.only(&single.to),
            None => listing
                .read(source, &mut worker.dirents)
                .map_err(|e| self.roots.source_error("list", path, e))?,
        }
        Ok(())
    }

    /// The directory on the volume, if it exists and has an entry of this copy.
    fn made(&self, node: &Node, path: &[u8], listing: &Listing) -> Result<Option<Arc<OwnedFd>>, Error> {
        let is_there = node.target == Target::Existing;
        let mine = !node.shared || node.parent.is_none() || self.scope.has_some(path, node, listing);
        if !is_there || !(mine || self.control.dry_run) {
            return Ok(None);
        }
        node.made().map(Some).map_err(|e| self.roots.volume_error("open", path, e))
    }

    fn walk(
        &self,
        worker: &mut Worker,
        node: &Arc<Node>,
        contents: &Contents<'_>,
        old: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Contents { path, source, .. } = *contents;
        old.clear();
        worker.block.clear();
        worker.orphans = false;
        let made = self.made(node, path, contents.listing)?;
        self.ask_others(worker, node, path, made.as_deref())?;
        let here = DirContext { node, path, source, made: made.as_deref() };
        let old_at = if node.beside_users { None } else { self.known.old.find(&node.recorded_path()) };
        if let Some(at) = old_at {
            self.known.old.load(at, old).map_err(|e| Error::system("read", "the manifest", e))?;
        }
        self.merge(worker, &here, contents, old)?;
        if !self.known.intent.is_empty() {
            self.noted_only(worker, &here, contents.listing, old)?;
        }
        self.record_block(worker, &here, old_at.map(|at| (at, &**old)))
    }

    /// Handles the names in order.
    fn merge(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        contents: &Contents<'_>,
        old: &[u8],
    ) -> Result<(), Error> {
        let listing = contents.listing;
        let mut respelled = Respelled::new(here.made, old);
        let failed = |e| self.roots.volume_error("list", here.path, e);
        let mut known = records(old).peekable();
        // Entries without a manifest block need no comparison in order: other workers may take some of them.
        let part = if self.scope.shares.is_some() { PART_OF_SHARE } else { PART };
        let first = part.min(FIRST);
        let waited = (known.peek().is_none() && listing.len() >= 2 * part).then(waits);
        let mut mine = listing.len();
        let trusted = self.known.options.trust_mtime && known.peek().is_some();
        for at in 0..listing.len() {
            // Some of the first entries may be another copier's.
            if at == first && waited.is_some_and(|n| self.scope.shares.is_some() || waits() - n >= first) {
                mine = self.share(here.node, listing, part);
            }
            if at == mine {
                break;
            }
            if at % WINDOW == 0 && !trusted && worker.ahead.is_cold(&self.queue.spare) {
                let next = at..mine.min(at + WINDOW);
                self.ask_ahead(worker, here, next.map(|at| (at, listing.get(at))));
            }
            let (name, kind) = listing.get(at);
            while let Some(gone) = known.next_if(|record| *record.name < *name.to_bytes()) {
                if !respelled.has_taken(listing, &gone.name).map_err(failed)? {
                    self.dropped(worker, here, gone)?;
                }
            }
            let record = match known.next_if(|record| *record.name == *name.to_bytes()) {
                Some(record) => Some(record),
                None => respelled.find(listing, name).map_err(failed)?,
            };
            let seen = contents.files.get(at).copied().flatten();
            let foreseen = Foreseen { seen, file: worker.ahead.take(at, &self.queue.spare) };
            self.entry(worker, here, Found { name, kind, record: record.as_ref(), foreseen })?;
        }
        for gone in known {
            if !respelled.has_taken(listing, &gone.name).map_err(failed)? {
                self.dropped(worker, here, gone)?;
            }
        }
        Ok(())
    }

    /// Reads what other owners have in a directory, and whether it is a destination of its own (`made`).
    fn ask_others(
        &self,
        worker: &mut Worker,
        node: &Node,
        path: &[u8],
        made: Option<&OwnedFd>,
    ) -> Result<(), Error> {
        let failed = |e| Error::system("read the manifests in", &self.roots.path, e);
        if node.beside_users {
            worker.claims = Claims::default();
            return Ok(());
        }
        if let (Some(made), Some(_)) = (made, &node.parent) {
            self.known.layers.discover(path, made).map_err(failed)?;
        }
        worker.claims = self.known.layers.directory(path).map_err(failed)?;
        Ok(())
    }

    /// Makes tasks of the entries after the first `part`; returns how many stay here.
    fn share(&self, node: &Arc<Node>, listing: &Listing, part: usize) -> usize {
        for from in (part..listing.len()).step_by(part) {
            let names = (from..listing.len().min(from + part)).map(|at| {
                let (name, kind) = listing.get(at);
                (name.to_owned(), kind)
            });
            node.begin();
            self.queue.pool.push(Task::Part { node: node.clone(), names: names.collect() });
        }
        part
    }

    /// Handles some entries of a large directory without a manifest block.
    pub(crate) fn part_task(
        &self,
        worker: &mut Worker,
        node: Arc<Node>,
        names: &[(CString, FileType)],
    ) -> Result<(), Error> {
        let path = node.path();
        let source = node.source().map_err(|e| self.roots.source_error("open", &path, e))?;
        let made = match node.target {
            Target::Existing if !node.shared || node.made.is_known() => {
                Some(node.made().map_err(|e| self.roots.volume_error("open", &path, e))?)
            }
            _ => None,
        };
        worker.block.clear();
        worker.orphans = false;
        self.ask_others(worker, &node, &path, None)?;
        let here = DirContext { node: &node, path: &path, source: &source, made: made.as_deref() };
        let spare = &self.queue.spare;
        let walked = names.iter().enumerate().try_for_each(|(at, (name, kind))| {
            if at % WINDOW == 0 && worker.ahead.is_cold(spare) {
                let next = names.iter().enumerate().skip(at).take(WINDOW);
                self.ask_ahead(worker, &here, next.map(|(at, (name, kind))| (at, (&**name, *kind))));
            }
            let foreseen = Foreseen { seen: None, file: worker.ahead.take(at, spare) };
            self.entry(worker, &here, Found { name, kind: *kind, record: None, foreseen })
        });
        worker.ahead.clear(spare);
        walked?;
        self.record_block(worker, &here, None)?;
        self.queue.pool.push_all(&mut worker.tasks);
        self.finish(worker, node)
    }

    /// Hands in the records of a directory.
    fn record_block(
        &self,
        worker: &Worker,
        here: &DirContext<'_>,
        old: Option<(usize, &[u8])>,
    ) -> Result<(), Error> {
        if here.node.beside_users || here.node.finished_by_another && worker.block.is_empty() {
            return Ok(());
        }
        let block = match old {
            Some((at, old)) if old == worker.block => Block::Old(at),
            _ => Block::New { records: &worker.block, orphans: worker.orphans },
        };
        self.blocks.add(here.path, block)
    }

    /// Reads ahead in a cold source.
    fn ask_ahead<'n>(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        names: impl Iterator<Item = (usize, (&'n CStr, FileType))>,
    ) {
        let files = names.filter(|(_, (name, kind))| {
            let name = name.to_bytes();
            *kind == FileType::RegularFile
                && self.scope.is_mine(here, name, false)
                && !self.scope.filter.skips(here.path, name, false)
        });
        worker.ahead.ask(here.source, files.map(|(at, (name, _))| (at, name)), &self.queue.spare);
    }
}

/// How often this thread has waited so far (getrusage(2), `ru_nvcsw`).
fn waits() -> usize {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_THREAD);
    usage.map_or(0, |usage| usize::try_from(usage.voluntary_context_switches()).unwrap_or(0))
}
