//! A directory of the source against its directory on the volume and its block of the manifest, name by name: all
//! three are sorted. Files are dealt with on the spot, directories become tasks.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};

use crate::copy::engine::{Engine, Task, Worker};
use crate::copy::error::Error;
use crate::copy::io::listing::Listing;
use crate::copy::io::path::{join, shown};
use crate::copy::io::readahead::{Foreseen, WINDOW};
use crate::copy::manifest::{self, Block, Kind, Record, records};
use crate::copy::plan::compare::compare_content;
use crate::copy::plan::entry::{Entry, Here};
use crate::copy::plan::layers::Claims;
use crate::copy::plan::spelling::{Listed, pairs};
use crate::copy::plan::stat_cache::Sight;
use crate::copy::stage::node::{Node, Target};
use crate::copy::state::STATE;

/// A directory with at least twice as many entries is shared out in parts of this size where its first ones were waiting,
/// as on a network volume or for a cold source: only making a name keeps the others of the directory out there. What is
/// the processor's work is not shared: the others would spin in the kernel for the lock of the directory, which on xfs
/// took a fifth of a copy's processor time.
const PART: usize = 128;
/// Where several copiers share the tree: one that ends with a single worker's part is late for all of them.
const PART_OF_SHARE: usize = 16;
/// So many entries tell: each that waited was put to sleep at least once.
const FIRST: usize = 32;

impl Engine<'_> {
    pub(in crate::copy) fn directory_task(&self, worker: &mut Worker, node: Arc<Node>) -> Result<(), Error> {
        let path = node.path();
        let source = node.source().map_err(|e| self.source_error("open", &path, e))?;
        let stat = rustix::fs::fstat(&*source).map_err(|e| self.source_error("stat", &path, e))?;
        let _ = node.meta.set(self.permissions.wanted(&stat));
        let mut made = match node.target {
            Target::Existing if !node.shared || node.parent.is_none() => {
                Some(node.made().map_err(|e| self.volume_error("open", &path, e))?)
            }
            Target::New => {
                self.place(&node)?;
                None
            }
            Target::Existing | Target::Lazy => None,
        };
        node.relieve(self.budget);
        // Taken out of the worker for the time of this directory, as the worker is lent out in it.
        let seen = self.seen.take(&path, Sight::from(&stat));
        let is_seen = seen.is_some();
        let (mut listing, files) = match seen {
            Some(seen) => (seen.listing, seen.files),
            None => (std::mem::take(&mut worker.listing), Vec::new()),
        };
        let mut old = std::mem::take(&mut worker.old);
        old.clear();
        worker.block.clear();
        worker.orphans = false;
        let walked = (|| {
            if !is_seen {
                match self.single.as_ref().filter(|_| node.parent.is_none()) {
                    Some(single) => listing.only(&single.to),
                    None => listing
                        .read(&*source, &mut worker.dirents)
                        .map_err(|e| self.source_error("list", &path, e))?,
                }
            }
            let mine = !node.shared || self.has_some(&path, &node, &listing);
            if (mine || self.request.options.dry_run) && made.is_none() && node.target == Target::Existing {
                made = Some(node.made().map_err(|e| self.volume_error("open", &path, e))?);
            }
            self.ask_others(worker, &node, &path, made.as_deref())?;
            let here = Here { node: &node, path: &path, source: &source, made: made.as_deref() };
            let old_at = if node.aside { None } else { self.old.find(&node.recorded_path()) };
            if let Some(at) = old_at {
                self.old.load(at, &mut old).map_err(|e| Error::system("read", "the manifest", e))?;
            }
            let mut respelled = Respelled::new(made.as_deref(), &old);
            let mut known = records(&old).peekable();
            // What no manifest knows needs no comparison from name to name: others may take a part of it.
            let part = if self.shares.is_some() { PART_OF_SHARE } else { PART };
            let first = part.min(FIRST);
            let waited = (known.peek().is_none() && listing.len() >= 2 * part).then(waits);
            let mut mine = listing.len();
            let trusted = self.request.options.trust_mtime && known.peek().is_some();
            for at in 0..listing.len() {
                // The first ones may be another copier's.
                if at == first && waited.is_some_and(|n| self.shares.is_some() || waits() - n >= first) {
                    mine = self.share(&node, &listing, part);
                }
                if at == mine {
                    break;
                }
                if at % WINDOW == 0 && !trusted && worker.ahead.is_cold(&self.spare) {
                    let next = at..mine.min(at + WINDOW);
                    self.ask_ahead(worker, &here, next.map(|at| (at, listing.get(at))));
                }
                let (name, kind) = listing.get(at);
                while let Some(gone) = known.next_if(|record| *record.name < *name.to_bytes()) {
                    if !respelled
                        .has_taken(&listing, &gone.name)
                        .map_err(|e| self.volume_error("list", &path, e))?
                    {
                        self.dropped(worker, &here, gone)?;
                    }
                }
                let record = match known.next_if(|record| *record.name == *name.to_bytes()) {
                    Some(record) => Some(record),
                    None => {
                        respelled.find(&listing, name).map_err(|e| self.volume_error("list", &path, e))?
                    }
                };
                let seen = files.get(at).copied().flatten();
                let foreseen = Foreseen { seen, file: worker.ahead.take(at, &self.spare) };
                self.entry(worker, &here, name, kind, record.as_ref(), foreseen)?;
            }
            for gone in known {
                if !respelled
                    .has_taken(&listing, &gone.name)
                    .map_err(|e| self.volume_error("list", &path, e))?
                {
                    self.dropped(worker, &here, gone)?;
                }
            }
            if !self.intent.is_empty() {
                self.noted_only(worker, &here, &listing, &old)?;
            }
            self.record_block(worker, &node, &path, old_at.map(|at| (at, &*old)))?;
            Ok(())
        })();
        worker.ahead.clear(&self.spare);
        listing.shrink();
        worker.listing = listing;
        worker.old = old;
        walked?;
        self.pool.push_all(&mut worker.tasks);
        drop(made);
        drop(source);
        self.finish(worker, node)
    }

    /// Looks what other owners have in a directory, and whether it is a destination of its own (`made`).
    fn ask_others(
        &self,
        worker: &mut Worker,
        node: &Node,
        path: &[u8],
        made: Option<&OwnedFd>,
    ) -> Result<(), Error> {
        let failed = |e| Error::system("read the manifests in", &self.to, e);
        if node.aside {
            worker.claims = Claims::default();
            return Ok(());
        }
        if let (Some(made), Some(_)) = (made, &node.parent) {
            self.layers.discover(path, made).map_err(failed)?;
        }
        worker.claims = self.layers.directory(path).map_err(failed)?;
        Ok(())
    }

    /// A directory that a worker comes back to: its path, and its handles.
    #[allow(clippy::type_complexity)] // what `Here` borrows
    pub(in crate::copy) fn opened(
        &self,
        node: &Node,
    ) -> Result<(Vec<u8>, Arc<OwnedFd>, Option<Arc<OwnedFd>>), Error> {
        let path = node.path();
        let source = node.source().map_err(|e| self.source_error("open", &path, e))?;
        let made = match node.target {
            Target::Existing => Some(node.made().map_err(|e| self.volume_error("open", &path, e))?),
            Target::New | Target::Lazy => None,
        };
        Ok((path, source, made))
    }

    /// Makes tasks of a large directory's entries, but for the first `part`, and answers how many those are.
    fn share(&self, node: &Arc<Node>, listing: &Listing, part: usize) -> usize {
        for from in (part..listing.len()).step_by(part) {
            let names = (from..listing.len().min(from + part)).map(|at| {
                let (name, kind) = listing.get(at);
                (name.to_owned(), kind)
            });
            node.begin();
            self.pool.push(Task::Part { node: node.clone(), names: names.collect() });
        }
        part
    }

    /// Some entries of a large directory that the manifest knows nothing of.
    pub(in crate::copy) fn part_task(
        &self,
        worker: &mut Worker,
        node: Arc<Node>,
        names: &[(CString, FileType)],
    ) -> Result<(), Error> {
        let path = node.path();
        let source = node.source().map_err(|e| self.source_error("open", &path, e))?;
        let made = match node.target {
            Target::Existing if !node.shared || node.made.is_known() => {
                Some(node.made().map_err(|e| self.volume_error("open", &path, e))?)
            }
            _ => None,
        };
        worker.block.clear();
        worker.orphans = false;
        self.ask_others(worker, &node, &path, None)?;
        let here = Here { node: &node, path: &path, source: &source, made: made.as_deref() };
        let walked = names.iter().enumerate().try_for_each(|(at, (name, kind))| {
            if at % WINDOW == 0 && worker.ahead.is_cold(&self.spare) {
                let next = names.iter().enumerate().skip(at).take(WINDOW);
                self.ask_ahead(worker, &here, next.map(|(at, (name, kind))| (at, (&**name, *kind))));
            }
            let foreseen = Foreseen { seen: None, file: worker.ahead.take(at, &self.spare) };
            self.entry(worker, &here, name, *kind, None, foreseen)
        });
        worker.ahead.clear(&self.spare);
        walked?;
        self.record_block(worker, &node, &path, None)?;
        self.pool.push_all(&mut worker.tasks);
        self.finish(worker, node)
    }

    fn record_block(
        &self,
        worker: &Worker,
        node: &Node,
        path: &[u8],
        old: Option<(usize, &[u8])>,
    ) -> Result<(), Error> {
        if node.aside || node.others && worker.block.is_empty() {
            return Ok(());
        }
        let block = match old {
            Some((at, old)) if old == worker.block => Block::Old(at),
            _ => Block::New { records: &worker.block, orphans: worker.orphans },
        };
        self.add_block(path, block)
    }

    pub(in crate::copy) fn add_block(&self, path: &[u8], block: Block<'_>) -> Result<(), Error> {
        let dry_run = self.request.options.dry_run;
        if dry_run && matches!(block, Block::New { orphans: false, .. }) {
            // Nothing is recorded; what pruning would remove is asked for in the end.
            return Ok(());
        }
        self.spill
            .add(
                path,
                block,
                || if dry_run { manifest::overflow_in_memory() } else { self.stage()?.overflow() },
            )
            .map_err(|e| Error::system("write the manifest in", &self.to, e))
    }

    /// Asks for files of a cold source before it is their turn.
    fn ask_ahead<'n>(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        names: impl Iterator<Item = (usize, (&'n CStr, FileType))>,
    ) {
        let files = names.filter(|(_, (name, kind))| {
            let name = name.to_bytes();
            *kind == FileType::RegularFile
                && self.is_mine(here, name, false)
                && !self.filter.skips(here.path, name, false)
        });
        worker.ahead.ask(here, files.map(|(at, (name, _))| (at, name)), &self.spare);
    }

    /// An entry of the image, with what was seen of it, and done for it, already.
    fn entry(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        kind: FileType,
        record: Option<&Record<'_>>,
        foreseen: Foreseen,
    ) -> Result<(), Error> {
        // A large directory on a slow volume takes longer than a stop may.
        self.go_on()?;
        let kind = match kind {
            FileType::Symlink if self.request.options.dereference => self.followed(here, name)?,
            kind => kind,
        };
        if kind == FileType::Unknown {
            return Ok(());
        }
        let is_dir = kind == FileType::Directory;
        // The generation of a ConfigMap that its links lead to.
        if self.request.options.dereference && is_dir && name.to_bytes().starts_with(b"..") {
            return Ok(());
        }
        if self.is_reserved(here, name) {
            if name.to_bytes() != STATE.as_bytes() && name != c"lost+found" {
                let path = shown(&here.child(name));
                worker
                    .report
                    .remarks
                    .push(format!("{path} is a file of the runner's own on the volume: not copied"));
            }
            return Ok(());
        }
        if !self.is_mine(here, name.to_bytes(), is_dir) {
            return self.pass_through(worker, here, name, is_dir, record);
        }
        if self.filter.skips(here.path, name.to_bytes(), is_dir) {
            return self.retain(worker, here, record);
        }
        let volume = match here.made {
            // Made by this copy just now, and nobody else puts an entry of this one's into it.
            Some(_) if here.node.is_just_made() && !(is_dir && self.is_shared(here, name)) => None,
            Some(made) => match self.look(made, here, name)? {
                Some(stat) if self.protected.is_inode(&stat) => return Ok(()),
                found => found,
            },
            None => None,
        };
        let base = self.base_of(worker, here, name, volume.as_ref())?;
        let later = worker.claims.later(name);
        let entry =
            Entry { name, record, volume: volume.as_ref(), base: base.as_ref(), covered: later.is_some() };
        match kind {
            // Another owner has something else there, and everything below it has no place.
            FileType::Directory if later.is_some_and(|kind| kind != Kind::Dir) => {
                let path = here.child(name);
                worker.report.left_to_others.push(shown(&path));
                worker.report.changes.push(&path, "left", "a later copy has it");
                self.retain(worker, here, record)
            }
            FileType::Directory => self.directory(worker, here, entry),
            FileType::RegularFile => self.file(worker, here, entry, foreseen),
            FileType::Symlink => self.link(worker, here, entry),
            _ => {
                worker.report.skipped.push(shown(&here.child(name)));
                // A file that was there in an earlier release is none of the image's any more.
                record.map_or(Ok(()), |record| self.dropped(worker, here, record.clone()))
            }
        }
    }

    /// What a link of the source leads to. `Unknown` for what the kubelet keeps beside a `ConfigMap`'s files, which are links
    /// to it.
    fn followed(&self, here: &Here<'_>, name: &CStr) -> Result<FileType, Error> {
        if name.to_bytes().starts_with(b"..") {
            return Ok(FileType::Unknown);
        }
        let failed = |e| self.source_error("follow the link", &here.child(name), e);
        let stat = rustix::fs::statat(here.source, name, AtFlags::empty()).map_err(failed)?;
        if here.node.is_below(&stat) {
            return Err(failed(rustix::io::Errno::LOOP));
        }
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    /// The record of another owner that says what the volume has under a name.
    fn base_of(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        volume: Option<&rustix::fs::Stat>,
    ) -> Result<Option<Record<'static>>, Error> {
        let (Some(made), Some(stat)) = (here.made, volume) else { return Ok(None) };
        for record in worker.claims.records(name.to_bytes()) {
            let Some((kind, size, _, _, content)) = record.as_left().filter(|_| !record.flags.kept) else {
                continue;
            };
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let same = is_dir && kind == Kind::Dir
                || compare_content(made, name, kind, size, content, stat, &mut worker.other)
                    .map_err(|e| self.volume_error("compare", &here.child(name), e))?;
            if same {
                return Ok(Some(record.clone()));
            }
        }
        Ok(None)
    }

    /// The runner's own files, and what the filesystem keeps in its root.
    fn is_reserved(&self, here: &Here<'_>, name: &CStr) -> bool {
        if here.node.aside {
            return false;
        }
        if here.node.parent.is_none() && (name.to_bytes() == STATE.as_bytes() || name == c"lost+found") {
            return true;
        }
        self.protected.is_below(here.path, name.to_bytes())
    }

    /// Keeps a record, and those below it, as they are: the entry takes no part in this copy.
    pub(in crate::copy) fn retain(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        record: Option<&Record<'_>>,
    ) -> Result<(), Error> {
        let Some(record) = record else { return Ok(()) };
        record.write(&mut worker.block);
        worker.orphans |= record.flags.orphan;
        if record.kind == Kind::Dir {
            let recorded = here.node.recorded_path();
            for at in self.old.subtree(&join(&recorded, &record.name)) {
                self.add_block(&moved(self.old.path(at), &recorded, here.path), Block::Old(at))?;
            }
        }
        Ok(())
    }

    /// A record that the image has no entry for any more: marked, with everything below it, for pruning to decide.
    fn dropped(&self, worker: &mut Worker, here: &Here<'_>, mut record: Record<'_>) -> Result<(), Error> {
        if !self.is_mine(here, &record.name, false) {
            return Ok(());
        }
        let path = join(here.path, &record.name);
        if self.filter.skips(here.path, &record.name, record.kind == Kind::Dir) {
            return self.retain(worker, here, Some(&record));
        }
        if record.kind == Kind::Dir {
            // Of two records of one name, the first counts.
            self.noted_below(worker, &path)?;
            self.orphan_subtree(here, &record.name)?;
        } else if let (Some(made), Ok(name)) =
            (here.made.filter(|_| !self.intent.is_empty()), CString::new(&*record.name))
        {
            let volume = self.look(made, here, &name)?;
            let entry = Entry {
                name: &name,
                record: Some(&record),
                volume: volume.as_ref(),
                base: None,
                covered: false,
            };
            record = self.as_noted(worker, here, entry)?.unwrap_or(record);
        }
        record.flags.orphan = true;
        record.write(&mut worker.block);
        worker.orphans = true;
        Ok(())
    }

    /// Marks every record below a directory as no longer in the image.
    fn orphan_subtree(&self, here: &Here<'_>, name: &[u8]) -> Result<(), Error> {
        let (mut block, mut marked) = (Vec::new(), Vec::new());
        let recorded = here.node.recorded_path();
        for at in self.old.subtree(&join(&recorded, name)) {
            self.old.load(at, &mut block).map_err(|e| Error::system("read", "the manifest", e))?;
            marked.clear();
            for mut record in records(&block) {
                record.flags.orphan = true;
                record.write(&mut marked);
            }
            let same = marked == block;
            let block = if same { Block::Old(at) } else { Block::New { records: &marked, orphans: true } };
            self.add_block(&moved(self.old.path(at), &recorded, here.path), block)?;
        }
        Ok(())
    }

    pub(in crate::copy) fn new_target(&self) -> Target {
        if self.request.options.dry_run { Target::Lazy } else { Target::New }
    }
}

/// The records of a directory that the image has under another spelling, which the volume takes for the same. Found out when
/// the image and the manifest are first seen to differ in a name.
struct Respelled<'a> {
    made: Option<&'a OwnedFd>,
    old: &'a [u8],
    /// By the image's name.
    found: Option<HashMap<Vec<u8>, Record<'a>>>,
}

impl<'a> Respelled<'a> {
    fn new(made: Option<&'a OwnedFd>, old: &'a [u8]) -> Self {
        Self { made, old, found: None }
    }

    /// The record of a name of the image that the manifest does not have.
    fn find(&mut self, listing: &Listing, name: &CStr) -> io::Result<Option<Record<'a>>> {
        Ok(self.pairs(listing)?.get(name.to_bytes()).cloned())
    }

    /// Whether a record whose name the image does not have is that of another one.
    fn has_taken(&mut self, listing: &Listing, name: &[u8]) -> io::Result<bool> {
        Ok(self.pairs(listing)?.values().any(|record| *record.name == *name))
    }

    fn pairs(&mut self, listing: &Listing) -> io::Result<&HashMap<Vec<u8>, Record<'a>>> {
        let found = match self.found.take() {
            Some(found) => found,
            None => self.look(listing)?,
        };
        Ok(self.found.insert(found))
    }

    fn look(&self, listing: &Listing) -> io::Result<HashMap<Vec<u8>, Record<'a>>> {
        let Some(made) = self.made.filter(|_| !self.old.is_empty()) else { return Ok(HashMap::new()) };
        let known: HashMap<Vec<u8>, Record<'a>> =
            records(self.old).map(|record| (record.name.to_vec(), record)).collect();
        let names = (0..listing.len()).map(|at| listing.get(at).0.to_bytes());
        let new: Vec<&[u8]> = names.filter(|name| !known.contains_key(*name)).collect();
        let dropped: Vec<&[u8]> =
            known.keys().map(|name| &**name).filter(|name| !listing.has(name)).collect();
        if new.is_empty() || dropped.is_empty() {
            return Ok(HashMap::new());
        }
        let pairs = pairs(&new, &dropped, &Listed::of(made)?)?;
        Ok(pairs.into_iter().filter_map(|(new, old)| Some((new.to_vec(), known.get(old)?.clone()))).collect())
    }
}

/// The path of what is below `from`, seen from `to`.
fn moved(path: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let below = path.strip_prefix(from).unwrap_or(path);
    join(to, below.strip_prefix(b"/").unwrap_or(below))
}

/// How often this thread has waited so far: getrusage(2), `ru_nvcsw`.
fn waits() -> usize {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_THREAD);
    usage.map_or(0, |usage| usize::try_from(usage.voluntary_context_switches()).unwrap_or(0))
}
