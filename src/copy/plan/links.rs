//! Hard links within the source: the first name met is copied like any file, the others are linked to it once
//! everything else is there.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::copy::engine::{Engine, Worker};
use crate::copy::error::Error;
use crate::copy::io::transfer;
use crate::copy::manifest::Block;
use crate::copy::plan::entry::{Entry, Here, Later};
use crate::copy::plan::source_file::{Opened, Version};
use crate::copy::report::Report;
use crate::copy::stage::node::Node;
use crate::copy::stage::stage_file::{Data, Incoming};
use crate::support::mutex;

/// What became of a file.
#[derive(Debug, Clone, Copy)]
pub(in crate::copy) enum Outcome {
    /// It is in staging, under its name.
    Staged,
    /// It was on the volume, with this inode.
    InPlace(Option<u64>),
    /// The volume has something else under its name.
    Other,
}

/// Whether a name is the first of its file.
pub(in crate::copy) enum Claim {
    First,
    Deferred,
}

#[derive(Debug, Default)]
pub(in crate::copy) struct Links {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    firsts: HashMap<(u64, u64), Option<First>>,
    deferred: Vec<Deferred>,
}

#[derive(Debug)]
struct First {
    node: Arc<Node>,
    name: CString,
    version: Version<'static>,
    outcome: Outcome,
}

#[derive(Debug)]
struct Deferred {
    inode: (u64, u64),
    later: Later,
}

type Linkable = (Arc<OwnedFd>, Option<u64>);

impl Links {
    /// Claims the file for this name, or puts the name off; its directory stays unfinished until then.
    pub(in crate::copy) fn claim(&self, stat: &Stat, node: &Arc<Node>, entry: Entry<'_>) -> Claim {
        let inode = (stat.st_dev, stat.st_ino);
        let mut inner = mutex::lock(&self.inner);
        if let std::collections::hash_map::Entry::Vacant(vacant) = inner.firsts.entry(inode) {
            vacant.insert(None);
            return Claim::First;
        }
        inner.deferred.push(Deferred { inode, later: entry.defer(node) });
        Claim::Deferred
    }

    pub(in crate::copy) fn settled(
        &self,
        stat: &Stat,
        node: &Arc<Node>,
        name: &CStr,
        version: Version<'static>,
        outcome: Outcome,
    ) {
        let first = First { node: node.clone(), name: name.to_owned(), version, outcome };
        let mut inner = mutex::lock(&self.inner);
        inner.firsts.insert((stat.st_dev, stat.st_ino), Some(first));
    }
}

impl Engine<'_> {
    /// Deals with the names that were put off.
    pub(in crate::copy) fn link_phase(&self, report: &mut Report) -> Result<(), Error> {
        let inner = std::mem::take(&mut *mutex::lock(&self.links.inner));
        if inner.deferred.is_empty() {
            return Ok(());
        }
        let firsts = inner.firsts;
        let pool = crate::copy::io::pool::Pool::new(inner.deferred);
        let workers = pool.run(self.workers(), |worker, deferred| {
            let first = firsts.get(&deferred.inode).and_then(Option::as_ref);
            self.deferred(worker, &deferred.later, first)?;
            self.finish(worker, deferred.later.node)
        })?;
        for worker in workers {
            report.merge(worker.report);
        }
        Ok(())
    }

    fn deferred(&self, worker: &mut Worker, later: &Later, first: Option<&First>) -> Result<(), Error> {
        self.go_on()?;
        worker.block.clear();
        worker.orphans = false;
        worker.xattrs.clear();
        let (path, source, made) = self.opened(&later.node)?;
        let here = Here { node: &later.node, path: &path, source: &source, made: made.as_deref() };
        let entry = later.entry();
        self.counters.add(1, 0);
        let linkable = match first {
            Some(first) => self.linkable(first, later)?.map(|(dir, ino)| (first, dir, ino)),
            None => None,
        };
        match linkable {
            Some((first, dir, ino)) => {
                let version = self.version_of(&first.version, &here, entry.name)?;
                let together = ino.is_some() && entry.volume.map(|stat| stat.st_ino) == ino;
                // A file of the right content, but with an inode of its own, has to be linked all the same: as if
                // the volume had none.
                let relinked = !together && self.may_relink(worker, &here, entry, &version)?;
                let seen =
                    if relinked { Entry { record: None, volume: None, base: None, ..entry } } else { entry };
                let data = Data::LinkTo { dir: &dir, name: &first.name, ino };
                let incoming = Incoming { version: &version, data };
                match self.settle(worker, &here, seen, incoming) {
                    // Too many links, or none on this filesystem: a file of its own does as well.
                    Err(error) if error.errno().is_some_and(cannot_link) => {
                        self.copy_alone(worker, &here, entry)?;
                    }
                    settled => drop(settled?),
                }
            }
            None => self.copy_alone(worker, &here, entry)?,
        }
        self.add_block(&path, Block::New { records: &worker.block, orphans: worker.orphans })
    }

    /// The directory that the first name of a file can be linked from, and the inode that it must have, where known.
    fn linkable(&self, first: &First, later: &Later) -> Result<Option<Linkable>, Error> {
        let at = &first.node;
        let opened = |dir: std::io::Result<_>| dir.map_err(|e| self.volume_error("open", &at.path(), e));
        Ok(match first.outcome {
            Outcome::InPlace(ino) => Some((opened(at.made())?, ino)),
            Outcome::Staged if self.request.options.dry_run => Some((opened(later.node.source())?, None)),
            Outcome::Staged => Some((self.place(at)?, None)),
            Outcome::Other => None,
        })
    }

    /// Whether the volume's file may be replaced by a link: when it has the image's content.
    fn may_relink(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        version: &Version<'_>,
    ) -> Result<bool, Error> {
        if self.policy() == crate::copy::options::Policy::Missing || self.beside_run || entry.covered {
            return Ok(false);
        }
        self.has_content(worker, here, entry, version.kind, version.size, &version.content)
    }

    fn version_of(
        &self,
        known: &Version<'static>,
        here: &Here<'_>,
        name: &CStr,
    ) -> Result<Version<'static>, Error> {
        let stat =
            self.source_stat(here, name).map_err(|e| self.source_error("stat", &here.child(name), e))?;
        let meta = self.permissions.wanted(&stat);
        let mode = if known.kind == crate::copy::manifest::Kind::Link { known.meta.mode } else { meta.mode };
        Ok(Version { meta: crate::copy::io::metadata::Meta { mode, ..meta }, ..known.clone() })
    }

    fn copy_alone(&self, worker: &mut Worker, here: &Here<'_>, entry: Entry<'_>) -> Result<(), Error> {
        let kind = self.source_stat(here, entry.name).map(|stat| FileType::from_raw_mode(stat.st_mode));
        if kind == Ok(FileType::Symlink) {
            return self.link_alone(worker, here, entry).map(drop);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let failed = |e: Errno| self.source_error("open", &here.child(entry.name), e);
        let file = rustix::fs::openat(here.source, entry.name, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(Errno::STALE));
        }
        let from = Opened { file, stat };
        worker.xattrs.read(&from.file).map_err(|e| self.source_error("read", &here.child(entry.name), e))?;
        let Some((hash, size)) = self.stream(worker, here, entry.name, &from, None, false)? else {
            entry.record.inspect(|record| record.write(&mut worker.block));
            return Ok(());
        };
        let version = Version {
            kind: crate::copy::manifest::Kind::File,
            meta: self.permissions.wanted(&stat),
            size,
            content: transfer::hashing(&stat).content(hash),
            xattrs: worker.xattrs.digest(),
        };
        let incoming = Incoming { version: &version, data: Data::File(&from) };
        self.settle(worker, here, entry, incoming).map(drop)
    }
}

fn cannot_link(errno: i32) -> bool {
    [
        Errno::MLINK,
        Errno::PERM,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::XDEV,
        Errno::NOENT,
        Errno::STALE,
    ]
    .iter()
    .any(|known| known.raw_os_error() == errno)
}
