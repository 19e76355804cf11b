//! The image's side of one file or symbolic link: opened, read until it stays the same while it is read, hashed. What
//! becomes of it is decided in `settle`.

use std::borrow::Cow;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::copy::engine::{Engine, Task, Worker};
use crate::copy::error::Error;
use crate::copy::io::metadata::{Meta, time_of};
use crate::copy::io::path::shown;
use crate::copy::io::readahead::Foreseen;
use crate::copy::io::transfer::{self, BUFFER, Failed, Target};
use crate::copy::manifest::{Content, Flags, Hash, Kind, Left, Record};
use crate::copy::plan::entry::{Entry, Here, Later};
use crate::copy::plan::links::{Claim, Outcome};
use crate::copy::plan::stat_cache::Sight;
use crate::copy::stage::stage_file::{Data, Incoming};

/// The image's version of a file or link.
#[derive(Debug, Clone)]
pub(in crate::copy) struct Version<'a> {
    pub(in crate::copy) kind: Kind,
    pub(in crate::copy) meta: Meta,
    pub(in crate::copy) size: u64,
    pub(in crate::copy) content: Content<'a>,
    pub(in crate::copy) xattrs: Option<u64>,
}

/// A file of the source, opened.
pub(in crate::copy) struct Opened {
    pub(in crate::copy) file: OwnedFd,
    pub(in crate::copy) stat: Stat,
}

/// How a file of the source is opened. NONBLOCK: what was a file in the listing may be a FIFO by now.
pub(in crate::copy) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A source file is read again this many times when it changes meanwhile.
const ATTEMPTS: usize = 3;

impl Version<'_> {
    pub(in crate::copy) fn record<'r>(&'r self, name: &'r CStr, flags: Flags, left: Left<'r>) -> Record<'r> {
        Record {
            kind: self.kind,
            flags,
            mode: self.meta.mode,
            uid: self.meta.uid,
            gid: self.meta.gid,
            size: self.size,
            mtime: self.meta.mtime,
            content: self.content.clone(),
            xattrs: self.xattrs,
            left,
            name: Cow::Borrowed(name.to_bytes()),
        }
    }
}

impl Engine<'_> {
    /// A regular file of the image.
    pub(in crate::copy) fn file(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        foreseen: Foreseen,
    ) -> Result<(), Error> {
        let name = entry.name;
        if self.request.options.trust_mtime
            && let Some(known) = entry.record
            && known.kind == Kind::File
            && !matches!(known.content, Content::Target(_))
        {
            let stat =
                self.source_stat(here, name).map_err(|e| self.source_error("stat", &here.child(name), e))?;
            let same = transfer::size(&stat) == known.size && time_of(&stat) == known.mtime;
            if same && stat.st_nlink == 1 && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                let version = Version {
                    kind: Kind::File,
                    meta: self.permissions.wanted(&stat),
                    size: known.size,
                    content: known.content.clone(),
                    xattrs: known.xattrs,
                };
                self.counters.add(1, known.size);
                return self
                    .settle(worker, here, entry, Incoming { version: &version, data: Data::Trusted })
                    .map(drop);
            }
        }
        let opened = match foreseen.file {
            None => self.open_file(worker, here, name)?,
            asked_for => asked_for,
        };
        let opened = match (opened, foreseen.seen) {
            // No more is asked before it has been read: then it must still look like that.
            (Some(file), Some(seen)) => Some((file, seen, None)),
            (Some(file), None) => self
                .regular(worker, here, name, file)?
                .map(|Opened { file, stat }| (file, Sight::from(&stat), Some(stat))),
            (None, _) => None,
        };
        let Some((file, before, stat)) = opened else {
            vanished(worker, entry.record);
            return Ok(());
        };
        let is_linked = stat.is_some_and(|stat| stat.st_nlink > 1) && !here.node.aside;
        if let Some(stat) = &stat {
            if is_linked {
                here.node.hold();
                match self.links.claim(stat, here.node, entry) {
                    Claim::First => {}
                    Claim::Deferred => return Ok(()),
                }
            }
            if transfer::is_large(stat) {
                worker.tasks.push(Task::File(entry.defer(here.node)));
                return Ok(());
            }
        }
        let recorded = entry.record.and_then(|record| match record.content {
            Content::Hash(hash) => Some(hash),
            _ => None,
        });
        let known = stat.zip(recorded);
        let Some((stat, len, hash)) = self.read_small(worker, here, name, &file, before, known)? else {
            vanished(worker, entry.record);
            return Ok(());
        };
        worker
            .xattrs
            .read(&file)
            .map_err(|e| self.source_error("read the attributes of", &here.child(name), e))?;
        self.counters.add(1, len as u64);
        let version = self.version(worker, &stat, len as u64, Content::Hash(hash));
        let outcome =
            self.settle(worker, here, entry, Incoming { version: &version, data: Data::Buffered(len) })?;
        if is_linked {
            self.links.settled(&stat, here.node, name, version, outcome);
        }
        Ok(())
    }

    pub(in crate::copy) fn version(
        &self,
        worker: &Worker,
        stat: &Stat,
        size: u64,
        content: Content<'static>,
    ) -> Version<'static> {
        Version {
            kind: Kind::File,
            meta: self.permissions.wanted(stat),
            size,
            content,
            xattrs: worker.xattrs.digest(),
        }
    }

    /// Opens a file of the source; `None` where it has vanished or become something else, which is reported.
    pub(in crate::copy) fn open_source(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
    ) -> Result<Option<Opened>, Error> {
        match self.open_file(worker, here, name)? {
            Some(file) => self.regular(worker, here, name, file),
            None => Ok(None),
        }
    }

    /// As [`Engine::open_source`], of one that is open.
    fn regular(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        file: OwnedFd,
    ) -> Result<Option<Opened>, Error> {
        let stat = rustix::fs::fstat(&file).map_err(|e| self.source_error("stat", &here.child(name), e))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            return Ok(Some(Opened { file, stat }));
        }
        worker.report.changed_source.push(shown(&here.child(name)));
        Ok(None)
    }

    /// As [`Engine::open_source`], of whatever type it is by now.
    fn open_file(&self, worker: &mut Worker, here: &Here<'_>, name: &CStr) -> Result<Option<OwnedFd>, Error> {
        match rustix::fs::openat(here.source, self.source_name(here, name), self.reading(), Mode::empty()) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => {
                worker.report.changed_source.push(shown(&here.child(name)));
                Ok(None)
            }
            Err(errno) => Err(self.source_error("open", &here.child(name), errno)),
        }
    }

    /// Reads a file that fits the buffer until it stays the same while it is read. Where its status is `known` already and it
    /// has the content of that hash, it was read whole, and its status is not asked for again. `None` where it turns out
    /// to be something else than a file, which is reported.
    fn read_small(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        file: &OwnedFd,
        mut before: Sight,
        known: Option<(Stat, Hash)>,
    ) -> Result<Option<(Stat, usize, Hash)>, Error> {
        let (mut attempt, mut last) = (0, None);
        loop {
            let size = usize::try_from(before.size).unwrap_or(BUFFER).min(BUFFER);
            let read = transfer::read_small(file, size, &mut worker.buffer);
            if let (Some((stat, hash)), Ok(len)) = (known, &read)
                && *len == size
                && hash == *blake3::hash(&worker.buffer[..size]).as_bytes()
            {
                return Ok(Some((stat, size, hash)));
            }
            let stat =
                rustix::fs::fstat(file).map_err(|e| self.source_error("stat", &here.child(name), e))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                worker.report.changed_source.push(shown(&here.child(name)));
                return Ok(None);
            }
            let len = read.map_err(|e| self.source_error("read", &here.child(name), e))?;
            let after = Sight::from(&stat);
            attempt += 1;
            let len = len.min(BUFFER);
            let hash = *blake3::hash(&worker.buffer[..len]).as_bytes();
            // A file of procfs or sysfs has more than it says: the same twice is steady.
            let pseudo = size == 0 && after.size == 0 && last == Some(hash);
            if len == size && before == after || pseudo {
                return Ok(Some((stat, len, hash)));
            }
            if attempt == ATTEMPTS {
                worker.report.changed_source.push(shown(&here.child(name)));
                return Ok(None);
            }
            (before, last) = (after, Some(hash));
        }
    }

    /// A file that is too large, or too sparse, for the buffer.
    pub(in crate::copy) fn file_task(&self, worker: &mut Worker, later: &Later) -> Result<(), Error> {
        worker.block.clear();
        worker.orphans = false;
        let node = &later.node;
        let (path, source, made) = self.opened(node)?;
        let here = Here { node, path: &path, source: &source, made: made.as_deref() };
        let entry = later.entry();
        let name = entry.name;
        if let Some(from) = self.open_source(worker, &here, name)? {
            worker
                .xattrs
                .read(&from.file)
                .map_err(|e| self.source_error("read the attributes of", &path, e))?;
            // What is not in the manifest is copied and hashed in one pass; the hash of the rest decides first.
            let fresh = entry.record.is_none() && entry.volume.is_none();
            let done = if fresh && !entry.covered && !self.request.options.dry_run {
                self.large_install(worker, &here, name, &from)?
            } else if let Some((hash, len)) = self.stream(worker, &here, name, &from, None, true)? {
                let how = transfer::hashing(&from.stat);
                let version = self.version(worker, &from.stat, len, how.content(hash));
                self.counters.add(1, 0);
                let incoming = Incoming { version: &version, data: Data::File(&from) };
                Some((self.settle(worker, &here, entry, incoming)?, version))
            } else {
                None
            };
            match done {
                Some((outcome, version)) if from.stat.st_nlink > 1 && !node.aside => {
                    self.links.settled(&from.stat, node, name, version, outcome);
                }
                Some(_) => {}
                None => vanished(worker, entry.record),
            }
        } else {
            vanished(worker, entry.record);
        }
        if node.aside {
            return Ok(());
        }
        self.add_block(
            &path,
            crate::copy::manifest::Block::New { records: &worker.block, orphans: worker.orphans },
        )
    }

    /// Reads all of it, hashes it and writes it to `to`, again when it changes meanwhile. Answers its hash and its length
    /// in bytes, which are told to the progress where they are `counted`; `None` where it changed each time.
    pub(in crate::copy) fn stream(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        from: &Opened,
        to: Option<&OwnedFd>,
        counted: bool,
    ) -> Result<Option<(Hash, u64)>, Error> {
        let file = &from.file;
        let mut step = |n| {
            if counted {
                self.counters.add(0, n);
            }
            !self.cancel.is_cancelled() && !self.pool.is_stopped()
        };
        let to = to.map(AsFd::as_fd);
        let target = Target { file: to, reflink: Some(&self.reflink), how: transfer::hashing(&from.stat) };
        let mut attempt = 0;
        let mut stat = from.stat;
        loop {
            let (hash, len) =
                transfer::stream(file, &stat, target, &mut worker.buffer, &mut step).map_err(|failed| {
                    match failed {
                        Failed::Reading(e) => self.source_error("read", &here.child(name), e),
                        Failed::Writing(e) => self.volume_error("write", &here.child(name), e),
                        Failed::Stopped => Error::cancelled(),
                    }
                })?;
            let after =
                rustix::fs::fstat(file).map_err(|e| self.source_error("stat", &here.child(name), e))?;
            attempt += 1;
            if len == transfer::size(&stat) && Sight::from(&stat) == Sight::from(&after) {
                return Ok(Some((hash, len)));
            }
            if attempt >= ATTEMPTS {
                worker.report.changed_source.push(shown(&here.child(name)));
                return Ok(None);
            }
            if let Some(to) = to {
                rustix::fs::ftruncate(to, 0).map_err(|e| self.volume_error("write", &here.child(name), e))?;
            }
            stat = after;
        }
    }

    /// What a file is called in the source: of a single one the name may be another.
    pub(in crate::copy) fn source_name<'n>(&'n self, here: &Here<'_>, name: &'n CStr) -> &'n CStr {
        match &self.single {
            Some(single) if here.node.parent.is_none() => &single.from,
            _ => name,
        }
    }

    /// The status of an entry of the source; with `dereference`, of what a link leads to.
    pub(in crate::copy) fn source_stat(&self, here: &Here<'_>, name: &CStr) -> rustix::io::Result<Stat> {
        let follow = self.request.options.dereference;
        let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        rustix::fs::statat(here.source, self.source_name(here, name), flags)
    }

    fn reading(&self) -> OFlags {
        if self.request.options.dereference { READ.difference(OFlags::NOFOLLOW) } else { READ }
    }

    /// A symbolic link of the image.
    pub(in crate::copy) fn link(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
    ) -> Result<(), Error> {
        let failed = |e: Errno| self.source_error("read the link", &here.child(entry.name), e);
        let stat = rustix::fs::statat(here.source, entry.name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if stat.st_nlink == 1 || here.node.aside {
            return self.link_alone(worker, here, entry).map(drop);
        }
        here.node.hold();
        if let Claim::First = self.links.claim(&stat, here.node, entry) {
            let (outcome, version) = self.link_alone(worker, here, entry)?;
            self.links.settled(&stat, here.node, entry.name, version, outcome);
        }
        Ok(())
    }

    /// A symbolic link of the image, whatever other names it has.
    pub(in crate::copy) fn link_alone(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
    ) -> Result<(Outcome, Version<'static>), Error> {
        let name = entry.name;
        let failed = |e: Errno| self.source_error("read the link", &here.child(name), e);
        let stat = rustix::fs::statat(here.source, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let target = rustix::fs::readlinkat(here.source, name, Vec::new()).map_err(failed)?;
        let version = Version {
            kind: Kind::Link,
            meta: Meta { mode: 0o777, ..self.permissions.wanted(&stat) },
            size: target.as_bytes().len() as u64,
            content: Content::Target(target.into_bytes().into()),
            xattrs: None,
        };
        worker.xattrs.clear();
        let outcome = self.settle(worker, here, entry, Incoming { version: &version, data: Data::Link })?;
        Ok((outcome, version))
    }
}

/// What vanished from the source while it was copied keeps its record.
fn vanished(worker: &mut Worker, record: Option<&Record<'_>>) {
    if let Some(record) = record {
        record.write(&mut worker.block);
    }
}
