//! Installs the other names of hard-linked files after everything else: links them to the first name, or copies them if
//! linking is impossible.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::metadata::Meta;
use crate::copy::io::pool::Pool;
use crate::copy::io::transfer;
use crate::copy::manifest::{Block, Kind};
use crate::copy::options::Policy;
use crate::copy::report::Report;
use crate::copy::stage::source::Sink;
use crate::copy::tree::entry::{DeferredEntry, DirContext, Entry};
use crate::copy::tree::version::{Data, Incoming, Outcome, Version};
use crate::copy::tree::worker::Worker;
use crate::copy::walk::context::Walk;
use crate::copy::walk::hard_links::{Deferred, First, Inode};

/// A target for links: its directory, and the inode that it must have, if known.
type Linkable = (Arc<OwnedFd>, Option<u64>);

impl Walk<'_> {
    /// Handles the names that were put off.
    pub(crate) fn deferred_names(&self, report: &mut Report) -> Result<(), Error> {
        let (firsts, deferred) = self.links.take();
        if deferred.is_empty() {
            return Ok(());
        }
        let first_of = |inode| firsts.get(&inode).and_then(Option::as_ref);
        let pool = Pool::new(groups(deferred, |inode| first_of(inode).is_some_and(First::is_images)));
        let workers = pool.run(self.queue.worker_states(report), |worker, (inode, names)| {
            let mut copied = None;
            for later in names {
                let first = copied.as_ref().or(first_of(inode));
                copied = self.deferred(worker, &later, first)?.or(copied);
                self.finish(worker, later.node)?;
            }
            Ok(())
        })?;
        for worker in workers {
            report.merge(worker.report);
        }
        Ok(())
    }

    /// Links the name to the first one. If that is impossible, copies it and returns it as the first name for the rest.
    fn deferred(
        &self,
        worker: &mut Worker,
        later: &DeferredEntry,
        first: Option<&First>,
    ) -> Result<Option<First>, Error> {
        self.control.go_on()?;
        worker.block.clear();
        worker.orphans = false;
        worker.xattrs.clear();
        let reopened = self.reopened(&later.node)?;
        let here = reopened.here(&later.node);
        self.control.counters.add(1, 0);
        let linkable = match first {
            Some(first) => self.linkable(first, later)?.map(|linkable| (first, linkable)),
            None => None,
        };
        let copied = match linkable {
            Some((first, linkable)) => self.link(worker, &here, later.entry(), (first, &linkable))?,
            None => self.copy_alone(worker, &here, later.entry())?,
        };
        let block = Block::New { records: &worker.block, orphans: worker.orphans };
        self.blocks.add(&reopened.path, block)?;
        let (node, name) = (later.node.clone(), later.name.clone());
        Ok(copied.map(|(outcome, version)| First { node, name, version, outcome }))
    }

    fn link(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        (first, (dir, ino)): (&First, &Linkable),
    ) -> Result<Option<(Outcome, Version<'static>)>, Error> {
        let version = self.version_of(&first.version, here, entry)?;
        let together = ino.is_some() && entry.volume.map(|stat| stat.st_ino) == *ino;
        // A file with the right content but an inode of its own is replaced by a link, as if it were missing.
        let relinked = !together && self.may_relink(worker, here, entry, &version)?;
        // It does exist: remember its status, to see what a user writes to it until it is replaced.
        entry.volume.filter(|_| relinked).inspect(|stat| here.node.replaced.add(entry.name, stat));
        let seen = if relinked { Entry { record: None, volume: None, base: None, ..entry } } else { entry };
        let data = Data::LinkTo { dir, name: &first.name, ino: *ino };
        match self.settle(worker, here, seen, Incoming { version: &version, data }) {
            // Too many links, or no links on this filesystem: copy the file.
            Err(error) if error.errno().is_some_and(cannot_link) => self.copy_alone(worker, here, entry),
            settled => settled.map(|_| None),
        }
    }

    fn linkable(&self, first: &First, later: &DeferredEntry) -> Result<Option<Linkable>, Error> {
        let at = &first.node;
        let opened =
            |dir: std::io::Result<_>| dir.map_err(|e| self.roots.volume_error("open", &at.path(), e));
        Ok(match first.outcome {
            Outcome::InPlace(ino) => Some((opened(at.made())?, ino)),
            Outcome::Staged if self.control.dry_run => Some((opened(later.node.source())?, None)),
            Outcome::Staged => Some((self.stager.place(at)?, None)),
            Outcome::Other => None,
        })
    }

    /// Whether the volume's file may be replaced by a link: it has the image's content, and the volume supports links.
    fn may_relink(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        version: &Version<'_>,
    ) -> Result<bool, Error> {
        if self.known.policy() == Policy::Missing || self.known.beside_run || entry.covered {
            return Ok(false);
        }
        self.known.has_content(worker, here, entry, version.payload())
    }

    fn version_of(
        &self,
        known: &Version<'static>,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<Version<'static>, Error> {
        let stat = self.roots.source_stat(here, entry.name)?;
        let meta = self.stager.permissions.wanted(&stat);
        let mode = if known.kind == Kind::Link { known.meta.mode } else { meta.mode };
        Ok(Version { meta: Meta { mode, ..meta }, ..known.clone() })
    }

    /// Copies the file. `None` if the source kept changing.
    fn copy_alone(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<Option<(Outcome, Version<'static>)>, Error> {
        let stat = self.roots.source_stat(here, entry.name)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return self.symlink_alone(worker, here, entry).map(Some);
        }
        let failed = |what, e: std::io::Error| self.roots.source_error(what, &here.child(entry.name), e);
        let from = self.stager.open_source(worker, here, entry.name)?;
        let from = from.ok_or_else(|| failed("open", Errno::STALE.into()))?;
        worker.xattrs.read(&from.file).map_err(|e| failed("read", e))?;
        let sink = Sink { to: None, counted: false };
        let Some((hash, size)) = self.stager.stream(worker, here, (entry.name, &from), sink)? else {
            entry.record.inspect(|record| record.write(&mut worker.block));
            return Ok(None);
        };
        let content = transfer::hashing(&from.stat).content(hash);
        let version = self.stager.version(worker, &from, size, content);
        let incoming = Incoming { version: &version, data: Data::File(&from) };
        let outcome = self.settle(worker, here, entry, incoming)?;
        Ok(Some((outcome, version)))
    }
}

/// Groups of names; groups run in parallel. If the first name of a file cannot be linked to, its other names form one
/// group, in which the first one that is installed becomes the target.
fn groups(deferred: Vec<Deferred>, can_link: impl Fn(Inode) -> bool) -> Vec<(Inode, Vec<DeferredEntry>)> {
    let mut in_turn: HashMap<Inode, Vec<DeferredEntry>> = HashMap::new();
    let mut groups = Vec::new();
    for Deferred { inode, later } in deferred {
        if can_link(inode) {
            groups.push((inode, vec![later]));
        } else {
            in_turn.entry(inode).or_default().push(later);
        }
    }
    groups.extend(in_turn);
    groups
}

fn cannot_link(errno: i32) -> bool {
    let all = [
        Errno::MLINK,
        Errno::PERM,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::XDEV,
        Errno::NOENT,
        Errno::STALE,
    ];
    all.iter().any(|known| known.raw_os_error() == errno)
}
