//! One file or symbolic link: read it, compare it with the manifest and the volume, and do what the table in
//! `decide` says.

use std::borrow::Cow;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::decide::{Action, Around, Decision, Image, Volume, decide};
use super::engine::{Engine, Task, Worker};
use super::error::Error;
use super::links::{Claim, Outcome};
use super::manifest::{Content, Flags, Hash, Kind, Left, Record};
use super::metadata::{Meta, time_of};
use super::node::{Node, Target};
use super::options::Policy;
use super::stage::{beside, shown};
use super::transfer::{self, BUFFER, Failed};
use super::walk::Here;

/// The image's version of a file or link.
#[derive(Debug, Clone)]
pub(super) struct Version<'a> {
    pub(super) kind: Kind,
    pub(super) meta: Meta,
    pub(super) size: u64,
    pub(super) content: Content<'a>,
    pub(super) xattrs: Option<u64>,
}

/// Where its bytes come from.
#[derive(Clone, Copy)]
pub(super) enum Data<'a> {
    /// They are in the worker's buffer.
    Buffered(usize),
    /// They are read again.
    File(&'a OwnedFd, &'a Stat),
    /// They need not be copied: another name of the same file was.
    LinkTo { dir: &'a OwnedFd, name: &'a CStr, ino: Option<u64> },
    /// A symbolic link's target is in the version itself.
    Link,
    /// The image has what the manifest says, by its times; opened when needed.
    Trusted,
}

/// A source file is read again this many times when it changes meanwhile.
const ATTEMPTS: usize = 3;

impl Version<'_> {
    fn record<'r>(&'r self, name: &'r CStr, flags: Flags, left: Left<'r>) -> Record<'r> {
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
    pub(super) fn file(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        record: Option<&Record<'_>>,
        volume: Option<&Stat>,
    ) -> Result<(), Error> {
        if self.request.options.trust_mtime
            && let Some(known) = record
            && known.kind == Kind::File
            && let Content::Hash(hash) = known.content
        {
            let stat = rustix::fs::statat(here.source, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| self.source_error("stat", &here.child(name), e))?;
            let same = transfer::size(&stat) == known.size && time_of(&stat) == known.mtime;
            if same && stat.st_nlink == 1 && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                let version = Version {
                    kind: Kind::File,
                    meta: self.permissions.wanted(&stat),
                    size: known.size,
                    content: Content::Hash(hash),
                    xattrs: known.xattrs,
                };
                self.counters.add(1, known.size);
                return self
                    .settle(
                        worker,
                        here.node,
                        here.source,
                        here.made,
                        name,
                        &version,
                        record,
                        volume,
                        Data::Trusted,
                    )
                    .map(drop);
            }
        }
        let Some((file, stat)) = self.open_source(worker, here.source, here.node, name)? else {
            vanished(worker, record);
            return Ok(());
        };
        if stat.st_nlink > 1 && !here.node.aside {
            match self.links.claim(&stat, here.node, name, record, volume) {
                Claim::First => {}
                Claim::Deferred => return Ok(()),
            }
        }
        if transfer::size(&stat) > BUFFER as u64 || transfer::is_sparse(&stat) {
            here.node.pending.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            worker.tasks.push(Task::File {
                node: here.node.clone(),
                name: name.to_owned(),
                record: record.cloned().map(Record::into_owned),
                volume: volume.copied(),
            });
            return Ok(());
        }
        let (stat, len, hash) = self.read_small(worker, here, name, &file, stat)?;
        worker
            .xattrs
            .read(&file)
            .map_err(|e| self.source_error("read the attributes of", &here.child(name), e))?;
        self.counters.add(1, len as u64);
        let version = self.version(worker, &stat, len as u64, hash);
        let outcome = self.settle(
            worker,
            here.node,
            here.source,
            here.made,
            name,
            &version,
            record,
            volume,
            Data::Buffered(len),
        )?;
        if stat.st_nlink > 1 && !here.node.aside {
            self.links.settled(&stat, here.node, name, version, outcome);
        }
        Ok(())
    }

    fn version(&self, worker: &Worker, stat: &Stat, size: u64, hash: Hash) -> Version<'static> {
        Version {
            kind: Kind::File,
            meta: self.permissions.wanted(stat),
            size,
            content: Content::Hash(hash),
            xattrs: worker.xattrs.digest(),
        }
    }

    /// Opens a file of the source; `None` where it has vanished or become something else, which is reported.
    fn open_source(
        &self,
        worker: &mut Worker,
        source: &OwnedFd,
        node: &Node,
        name: &CStr,
    ) -> Result<Option<(OwnedFd, Stat)>, Error> {
        // NONBLOCK: what was a file in the listing may be a FIFO by now.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(source, name, flags, Mode::empty()) {
            Ok(file) => {
                let stat =
                    rustix::fs::fstat(&file).map_err(|e| self.source_error("stat", &child(node, name), e))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                    return Ok(Some((file, stat)));
                }
            }
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => {}
            Err(errno) => return Err(self.source_error("open", &child(node, name), errno)),
        }
        worker.report.changed_source.push(shown(&child(node, name)));
        Ok(None)
    }

    /// Reads a file that fits the buffer until it stays the same while it is read.
    fn read_small(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        file: &OwnedFd,
        mut stat: Stat,
    ) -> Result<(Stat, usize, Hash), Error> {
        let mut attempt = 0;
        loop {
            let size = usize::try_from(stat.st_size).unwrap_or(0).min(BUFFER);
            let len = transfer::read_small(file, size, &mut worker.buffer)
                .map_err(|e| self.source_error("read", &here.child(name), e))?;
            let after =
                rustix::fs::fstat(file).map_err(|e| self.source_error("stat", &here.child(name), e))?;
            attempt += 1;
            let steady = len == size && is_same(&stat, &after);
            if !steady && attempt < ATTEMPTS {
                stat = after;
                continue;
            }
            if !steady {
                worker.report.changed_source.push(shown(&here.child(name)));
            }
            let len = len.min(BUFFER);
            return Ok((stat, len, *blake3::hash(&worker.buffer[..len]).as_bytes()));
        }
    }

    /// A file that is too large, or too sparse, for the buffer.
    pub(super) fn file_task(
        &self,
        worker: &mut Worker,
        node: &Arc<Node>,
        name: &CStr,
        record: Option<&Record<'_>>,
        volume: Option<&Stat>,
    ) -> Result<(), Error> {
        worker.block.clear();
        worker.orphans = false;
        let path = node.path();
        let source = node.source().map_err(|e| self.source_error("open", &path, e))?;
        let made = match node.target {
            Target::Existing => Some(node.made().map_err(|e| self.volume_error("open", &path, e))?),
            _ => None,
        };
        if let Some((file, stat)) = self.open_source(worker, &source, node, name)? {
            worker.xattrs.read(&file).map_err(|e| self.source_error("read the attributes of", &path, e))?;
            // What is not in the manifest is copied and hashed in one pass; the hash of the rest decides first.
            let fresh = record.is_none() && volume.is_none();
            let (outcome, version) = if fresh && !self.request.options.dry_run {
                self.large_install(worker, node, name, name, &file, &stat)?
            } else {
                let (hash, len) = self.stream(worker, node, name, &file, &stat, None, true)?;
                let version = self.version(worker, &stat, len, hash);
                let data = Data::File(&file, &stat);
                self.counters.add(1, 0);
                let made = made.as_deref();
                let outcome =
                    self.settle(worker, node, &source, made, name, &version, record, volume, data)?;
                (outcome, version)
            };
            if stat.st_nlink > 1 && !node.aside {
                self.links.settled(&stat, node, name, version, outcome);
            }
        } else {
            vanished(worker, record);
        }
        if node.aside {
            return Ok(());
        }
        self.add_block(&path, super::manifest::Block::New { records: &worker.block, orphans: worker.orphans })
    }

    /// A first copy of a large file: hashed while it is written.
    fn large_install(
        &self,
        worker: &mut Worker,
        node: &Arc<Node>,
        name: &CStr,
        as_name: &CStr,
        file: &OwnedFd,
        stat: &Stat,
    ) -> Result<(Outcome, Version<'static>), Error> {
        let meta = self.permissions.wanted(stat);
        let (place, to, created_final) = self.create(worker, node, as_name, &meta)?;
        drop(place);
        let (hash, len) = self.stream(worker, node, name, file, stat, Some(&to), true)?;
        self.complete_file(worker, node, as_name, &to, &meta, created_final)?;
        let version = self.version(worker, stat, len, hash);
        worker.report.files += 1;
        worker.report.bytes += len;
        self.counters.add(1, 0);
        self.counters.wrote(1, len);
        version.record(name, Flags::default(), Left::AsImage).write(&mut worker.block);
        Ok((Outcome::Staged, version))
    }

    #[allow(clippy::too_many_arguments)]
    fn stream(
        &self,
        worker: &mut Worker,
        node: &Node,
        name: &CStr,
        file: &OwnedFd,
        stat: &Stat,
        to: Option<&OwnedFd>,
        counted: bool,
    ) -> Result<(Hash, u64), Error> {
        let mut step = |n| {
            if counted {
                self.counters.add(0, n);
            }
            !self.cancel.is_cancelled() && !self.pool.is_stopped()
        };
        let to = to.map(AsFd::as_fd);
        let mut attempt = 0;
        let mut stat = *stat;
        loop {
            let (hash, len) = transfer::stream(file, &stat, to, &self.reflink, &mut worker.buffer, &mut step)
                .map_err(|failed| match failed {
                    Failed::Reading(e) => self.source_error("read", &child(node, name), e),
                    Failed::Writing(e) => self.volume_error("write", &child(node, name), e),
                    Failed::Stopped => Error::cancelled(),
                })?;
            let after =
                rustix::fs::fstat(file).map_err(|e| self.source_error("stat", &child(node, name), e))?;
            attempt += 1;
            if len == transfer::size(&stat) && is_same(&stat, &after) {
                return Ok((hash, len));
            }
            if attempt >= ATTEMPTS {
                worker.report.changed_source.push(shown(&child(node, name)));
                return Ok((hash, len));
            }
            if let Some(to) = to {
                rustix::fs::ftruncate(to, 0)
                    .map_err(|e| self.volume_error("write", &child(node, name), e))?;
            }
            stat = after;
        }
    }

    /// A symbolic link of the image.
    pub(super) fn link(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        record: Option<&Record<'_>>,
        volume: Option<&Stat>,
    ) -> Result<(), Error> {
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
        self.settle(worker, here.node, here.source, here.made, name, &version, record, volume, Data::Link)
            .map(drop)
    }

    /// Decides, acts and records.
    #[allow(clippy::too_many_arguments)] // the three sides of the comparison, and where they are
    pub(super) fn settle(
        &self,
        worker: &mut Worker,
        node: &Arc<Node>,
        source: &OwnedFd,
        made: Option<&OwnedFd>,
        name: &CStr,
        version: &Version<'_>,
        record: Option<&Record<'_>>,
        volume: Option<&Stat>,
        data: Data<'_>,
    ) -> Result<Outcome, Error> {
        let failed = |e: io::Error| self.volume_error("compare", &child(node, name), e);
        let image = match record {
            None => Image::New,
            Some(r)
                if r.kind == version.kind && r.content == version.content && r.xattrs == version.xattrs =>
            {
                Image::Same
            }
            Some(_) => Image::Changed,
        };
        let state = match (volume, record) {
            (None, Some(r)) if r.left == Left::Absent => Volume::LeftAbsent,
            (None, _) if image == Image::Same && self.emptied => Volume::LeftAbsent,
            (None, _) => Volume::Absent,
            (Some(_), None) => Volume::Differs,
            (Some(stat), Some(r)) => {
                if looks_as_left(made, name, r, stat).map_err(failed)? {
                    Volume::AsLeft { image: r.left == Left::AsImage }
                } else {
                    Volume::Differs
                }
            }
        };
        let state = if self.emptied && state == Volume::Absent { Volume::LeftAbsent } else { state };
        let image = if self.emptied && volume.is_none() { Image::New } else { image };
        let action = match decide(
            self.policy(),
            image,
            state,
            Around { beside_run: self.request.beside_run, steps_follow: self.request.steps_follow },
        ) {
            Decision::Do(action) => action,
            Decision::AdoptOr(action) => {
                if self.has_content(
                    worker,
                    made,
                    name,
                    version.kind,
                    version.size,
                    &version.content,
                    volume,
                )? {
                    Action::Adopt
                } else {
                    action
                }
            }
            Decision::InstallIfLeft => match (record, volume) {
                (Some(r), Some(_))
                    if !self.is_as_left(worker, &here_of(node, source, made), name, record, volume)? =>
                {
                    debug_assert!(r.left != Left::Absent);
                    Action::Conflict
                }
                _ => Action::Install,
            },
        };
        self.act(worker, node, source, made, name, version, record, volume, data, action, state)
    }

    #[allow(clippy::too_many_arguments, clippy::too_many_lines)] // one arm for each outcome of the table
    fn act(
        &self,
        worker: &mut Worker,
        node: &Arc<Node>,
        source: &OwnedFd,
        made: Option<&OwnedFd>,
        name: &CStr,
        version: &Version<'_>,
        record: Option<&Record<'_>>,
        volume: Option<&Stat>,
        data: Data<'_>,
        action: Action,
        state: Volume,
    ) -> Result<Outcome, Error> {
        let flags = record.map_or(Flags::default(), |r| r.flags);
        let put = |worker: &mut Worker, record: Record<'_>| {
            if !node.aside {
                record.write(&mut worker.block);
            }
        };
        let kept_left = || match record {
            None => Left::Absent,
            Some(r) => match r.as_left() {
                None => Left::Absent,
                Some((kind, size, mtime, mode, content)) => {
                    Left::Other { kind, size, mtime, mode, content: content.clone().into_owned() }
                }
            },
        };
        match action {
            Action::Install => {
                let verb = if volume.is_some() { "replace" } else { "create" };
                self.install(worker, node, source, name, name, version, data, verb)?;
                put(worker, version.record(name, Flags::default(), Left::AsImage));
                Ok(Outcome::Staged)
            }
            Action::Nothing | Action::Adopt => {
                let mut flags = Flags { orphan: false, ..flags };
                let left = if let (Action::Nothing, Some(r)) = (action, record) {
                    flags.kept &= state == Volume::Differs;
                    r.left.clone()
                } else {
                    flags.found = match record {
                        Some(r) => r.flags.found,
                        None => !self.intended(&node.path(), name),
                    };
                    flags.kept = false;
                    Left::AsImage
                };
                // What is there in place of the image's version keeps its own metadata, and its record.
                let others = action == Action::Nothing && state != (Volume::AsLeft { image: true });
                let mend = self.policy() == Policy::Replace && !self.request.beside_run && !others
                    || state == (Volume::AsLeft { image: true })
                        && record.is_some_and(|r| meta_changed(r, version));
                let left = if left == Left::AsImage && !others && !(mend && version.kind == Kind::File) {
                    // As the volume has it: an adopted file keeps its own times where they are not set right.
                    volume
                        .filter(|_| version.kind == Kind::File)
                        .map_or(Left::AsImage, |stat| seen(stat, version))
                } else {
                    left
                };
                if mend && version.kind == Kind::File && self.differs(version, volume) {
                    if !self.mend(worker, node, made, name, version, data)? {
                        return self.act(
                            worker,
                            node,
                            source,
                            made,
                            name,
                            version,
                            record,
                            volume,
                            data,
                            Action::Install,
                            state,
                        );
                    }
                } else {
                    worker.report.unchanged += 1;
                }
                put(worker, version.record(name, flags, left));
                Ok(Outcome::InPlace(volume.map(|stat| stat.st_ino)))
            }
            Action::Keep => {
                worker.report.kept += 1;
                let flags = Flags { kept: true, orphan: false, ..flags };
                put(worker, version.record(name, flags, kept_left()));
                Ok(Outcome::Other)
            }
            Action::Conflict => {
                worker.report.kept += 1;
                worker.report.conflicts.push(shown(&child(node, name)));
                self.install(
                    worker,
                    node,
                    source,
                    name,
                    &beside(name, ".from-image"),
                    version,
                    data,
                    "put beside",
                )?;
                let flags = Flags { kept: true, found: record.is_none() || flags.found, orphan: false };
                put(worker, version.record(name, flags, kept_left()));
                Ok(Outcome::Other)
            }
            Action::Leave => {
                worker.report.kept += 1;
                if let Some(r) = record {
                    put(worker, r.clone());
                }
                Ok(Outcome::Other)
            }
        }
    }

    /// Puts the image's version under `as_name` where new entries of the directory go.
    #[allow(clippy::too_many_arguments)]
    fn install(
        &self,
        worker: &mut Worker,
        node: &Arc<Node>,
        source: &OwnedFd,
        name: &CStr,
        as_name: &CStr,
        version: &Version<'_>,
        data: Data<'_>,
        verb: &str,
    ) -> Result<(), Error> {
        if version.kind == Kind::Link {
            worker.report.links += 1;
        } else {
            worker.report.files += 1;
        }
        if self.request.options.dry_run {
            worker.report.plan.push(format!("{verb} {}", shown(&child(node, as_name))));
            if !matches!(data, Data::LinkTo { .. } | Data::Link) {
                worker.report.bytes += version.size;
            }
            return Ok(());
        }
        let failed = |e: io::Error| self.volume_error("write", &child(node, as_name), e);
        match data {
            Data::Link => {
                let place = self.place(node)?;
                let Content::Target(target) = &version.content else { return Ok(()) };
                rustix::fs::symlinkat(&**target, &*place, as_name).map_err(|e| failed(e.into()))?;
                return self.permissions.apply_link(&*place, as_name, &version.meta).map_err(failed);
            }
            Data::LinkTo { dir, name: first, ino } => {
                let place = self.place(node)?;
                rustix::fs::linkat(dir, first, &*place, as_name, AtFlags::empty())
                    .map_err(|e| failed(e.into()))?;
                if let Some(ino) = ino {
                    // The name may have been given to something else since it was looked at.
                    let stat = rustix::fs::statat(&*place, as_name, AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(|e| failed(e.into()))?;
                    if stat.st_ino != ino {
                        return Err(failed(Errno::STALE.into()));
                    }
                }
                self.counters.wrote(1, 0);
                return Ok(());
            }
            Data::Trusted => {
                let Some((file, stat)) = self.open_source(worker, source, node, name)? else { return Ok(()) };
                worker.xattrs.read(&file).map_err(|e| self.source_error("read", &child(node, name), e))?;
                let (_, to, created_final) = self.create(worker, node, as_name, &version.meta)?;
                self.stream(worker, node, name, &file, &stat, Some(&to), false)?;
                self.complete_file(worker, node, as_name, &to, &version.meta, created_final)?;
            }
            Data::Buffered(len) => {
                let (_, to, created_final) = self.create(worker, node, as_name, &version.meta)?;
                transfer::write_all(&to, &worker.buffer[..len], 0).map_err(failed)?;
                self.complete_file(worker, node, as_name, &to, &version.meta, created_final)?;
            }
            Data::File(file, stat) => {
                let (_, to, created_final) = self.create(worker, node, as_name, &version.meta)?;
                self.stream(worker, node, name, file, stat, Some(&to), false)?;
                self.complete_file(worker, node, as_name, &to, &version.meta, created_final)?;
            }
        }
        worker.report.bytes += version.size;
        self.counters.wrote(1, version.size);
        Ok(())
    }

    fn create(
        &self,
        worker: &Worker,
        node: &Node,
        name: &CStr,
        meta: &Meta,
    ) -> Result<(Arc<OwnedFd>, OwnedFd, bool), Error> {
        let place = self.place(node)?;
        let (mode, is_final) = self.permissions.creation(meta.mode, !worker.xattrs.is_empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*place, name, flags, Mode::from_raw_mode(mode))
            .map_err(|e| self.volume_error("create", &child(node, name), e))?;
        Ok((place, file, is_final))
    }

    /// Metadata last: with them, size and mtime say that the file is complete.
    fn complete_file(
        &self,
        worker: &Worker,
        node: &Node,
        name: &CStr,
        file: &OwnedFd,
        meta: &Meta,
        created_final: bool,
    ) -> Result<(), Error> {
        let failed = |e: io::Error| self.volume_error("complete", &child(node, name), e);
        self.permissions.apply(file, meta, &worker.xattrs, created_final).map_err(failed)?;
        if self.fsync_each {
            rustix::fs::fsync(file).map_err(|e| failed(e.into()))?;
        }
        Ok(())
    }

    /// Whether mode, mtime or (where it could be set) owner are not what they are to be.
    fn differs(&self, version: &Version<'_>, volume: Option<&Stat>) -> bool {
        volume.is_some_and(|stat| {
            stat.st_mode & 0o7777 != version.meta.mode
                || time_of(stat) != version.meta.mtime
                || self.permissions.may_chown()
                    && (stat.st_uid, stat.st_gid) != (version.meta.uid, version.meta.gid)
        })
    }

    /// Sets the metadata of a file on the volume right; false where that would reach another name of it, or is not
    /// possible without a new file.
    fn mend(
        &self,
        worker: &mut Worker,
        node: &Node,
        made: Option<&OwnedFd>,
        name: &CStr,
        version: &Version<'_>,
        data: Data<'_>,
    ) -> Result<bool, Error> {
        let Some(made) = made else { return Ok(false) };
        if self.request.options.dry_run {
            worker.report.plan.push(format!("set the metadata of {}", shown(&child(node, name))));
            worker.report.metadata += 1;
            return Ok(true);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(made, name, flags, Mode::empty()) else { return Ok(false) };
        let failed = |e: io::Error| self.volume_error("set the metadata of", &child(node, name), e);
        let before = rustix::fs::fstat(&file).map_err(|e| failed(e.into()))?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile || before.st_nlink != 1 {
            return Ok(false);
        }
        if matches!(data, Data::Trusted) {
            worker.xattrs.clear();
        }
        match self.permissions.apply(&file, &version.meta, &worker.xattrs, false) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        let after = rustix::fs::fstat(&file).map_err(|e| failed(e.into()))?;
        let all = |s: &Stat| (s.st_mode, s.st_uid, s.st_gid, s.st_mtime, s.st_mtime_nsec);
        if all(&before) == all(&after) {
            worker.report.unchanged += 1;
        } else {
            worker.report.metadata += 1;
        }
        Ok(true)
    }

    /// Whether the volume has this content under the name, read in full.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn has_content(
        &self,
        worker: &mut Worker,
        made: Option<&OwnedFd>,
        name: &CStr,
        kind: Kind,
        size: u64,
        content: &Content<'_>,
        volume: Option<&Stat>,
    ) -> Result<bool, Error> {
        let (Some(made), Some(stat)) = (made, volume) else { return Ok(false) };
        compare_content(made, name, kind, size, content, stat, &mut worker.other)
            .map_err(|e| self.volume_error("compare", name.to_bytes(), e))
    }

    /// Whether the volume has what was left, content read in full where there is some.
    pub(super) fn is_as_left(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        record: Option<&Record<'_>>,
        volume: Option<&Stat>,
    ) -> Result<bool, Error> {
        let Some((kind, size, _, _, content)) = record.and_then(|r| r.as_left()) else { return Ok(false) };
        if record.is_some_and(|r| r.flags.kept) {
            return Ok(false);
        }
        self.has_content(worker, here.made, name, kind, size, content, volume)
    }
}

/// What vanished from the source while it was copied keeps its record.
fn vanished(worker: &mut Worker, record: Option<&Record<'_>>) {
    if let Some(record) = record {
        record.write(&mut worker.block);
    }
}

fn here_of<'a>(node: &'a Arc<Node>, source: &'a OwnedFd, made: Option<&'a OwnedFd>) -> Here<'a> {
    Here { node, path: b"", source, made }
}

pub(super) fn child(node: &Node, name: &CStr) -> Vec<u8> {
    let mut path = node.path();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
    path
}

/// A file with the image's content, but metadata of its own.
fn seen(stat: &Stat, version: &Version<'_>) -> Left<'static> {
    if time_of(stat) == version.meta.mtime && stat.st_mode & 0o7777 == version.meta.mode {
        return Left::AsImage;
    }
    if time_of(stat) == version.meta.mtime {
        return Left::AsImage;
    }
    Left::Other {
        kind: version.kind,
        size: version.size,
        mtime: time_of(stat),
        mode: stat.st_mode & 0o7777,
        content: version.content.clone().into_owned(),
    }
}

fn meta_changed(record: &Record<'_>, version: &Version<'_>) -> bool {
    (record.mode, record.uid, record.gid, record.mtime)
        != (version.meta.mode, version.meta.uid, version.meta.gid, version.meta.mtime)
}

/// Neither its content nor its status changed between the two looks.
fn is_same(a: &Stat, b: &Stat) -> bool {
    let all = |s: &Stat| (s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
    all(a) == all(b)
}

/// Type, size and mtime (a link's target) as left: no content is read.
pub(super) fn looks_as_left(
    made: Option<&OwnedFd>,
    name: &CStr,
    record: &Record<'_>,
    stat: &Stat,
) -> io::Result<bool> {
    let Some((kind, size, mtime, _, content)) = record.as_left() else { return Ok(false) };
    Ok(match (kind, FileType::from_raw_mode(stat.st_mode), made) {
        (Kind::File, FileType::RegularFile, _) => transfer::size(stat) == size && time_of(stat) == mtime,
        (Kind::Link, FileType::Symlink, Some(made)) => {
            let target = rustix::fs::readlinkat(made, name, Vec::new())?;
            *content == Content::Target(target.as_bytes().into())
        }
        (Kind::Dir, FileType::Directory, _) => true,
        _ => false,
    })
}

/// Compares what is under a name with content that is known by its hash or target.
pub(super) fn compare_content(
    dir: impl AsFd,
    name: &CStr,
    kind: Kind,
    size: u64,
    content: &Content<'_>,
    stat: &Stat,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    let there = FileType::from_raw_mode(stat.st_mode);
    match (kind, there, content) {
        (Kind::Link, FileType::Symlink, Content::Target(target)) => {
            Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.as_bytes() == &**target)
        }
        (Kind::File, FileType::RegularFile, Content::Hash(hash)) if transfer::size(stat) == size => {
            Ok(hash_of(dir, name, buffer)?.is_some_and(|(found, _)| found == *hash))
        }
        _ => Ok(false),
    }
}

/// The hash of a regular file; `None` for what cannot be read as one.
pub(super) fn hash_of(dir: impl AsFd, name: &CStr, buffer: &mut Vec<u8>) -> io::Result<Option<(Hash, Stat)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::LOOP | Errno::NOENT | Errno::ACCESS | Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    match transfer::stream(&file, &stat, None, &transfer::Reflink::default(), buffer, &mut |_| true) {
        Ok((hash, _)) => Ok(Some((hash, stat))),
        Err(Failed::Reading(e) | Failed::Writing(e)) => Err(e),
        Err(Failed::Stopped) => Ok(None),
    }
}
