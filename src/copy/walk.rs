//! A directory of the source against its directory on the volume and its block of the manifest, name by name: all
//! three are sorted. Files are dealt with on the spot, directories become tasks.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::engine::{Engine, Task, Worker};
use super::error::Error;
use super::manifest::{Block, Content, Flags, Kind, Left, Record, records};
use super::metadata::{Meta, time_of};
use super::node::{Node, Target};
use super::options::Policy;
use super::stage::{STATE, beside, shown};

/// The directory that a worker is in.
pub(super) struct Here<'a> {
    pub(super) node: &'a Arc<Node>,
    pub(super) path: &'a [u8],
    pub(super) source: &'a OwnedFd,
    /// Its directory on the volume, if it is there.
    pub(super) made: Option<&'a OwnedFd>,
}

impl Here<'_> {
    pub(super) fn child(&self, name: &CStr) -> Vec<u8> {
        let mut path = self.path.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        path
    }
}

impl Engine<'_> {
    pub(super) fn directory_task(&self, worker: &mut Worker, node: Arc<Node>) -> Result<(), Error> {
        let path = node.path();
        let source = node.source().map_err(|e| self.source_error("open", &path, e))?;
        let stat = rustix::fs::fstat(&*source).map_err(|e| self.source_error("stat", &path, e))?;
        let _ = node.meta.set(self.permissions.wanted(&stat));
        let owned = self.owns(&path);
        let made = match node.target {
            Target::Existing if owned || node.parent.is_none() => {
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
        let mut listing = std::mem::take(&mut worker.listing);
        let mut old = std::mem::take(&mut worker.old);
        old.clear();
        worker.block.clear();
        worker.orphans = false;
        let old_at = if node.aside || !owned { None } else { self.old.find(&path) };
        let here = Here { node: &node, path: &path, source: &source, made: made.as_deref() };
        let walked = (|| {
            if let Some(at) = old_at {
                self.old.load(at, &mut old).map_err(|e| Error::system("read", "the manifest", e))?;
            }
            listing.read(&*source, &mut worker.dirents).map_err(|e| self.source_error("list", &path, e))?;
            let mut known = records(&old).peekable();
            for at in 0..listing.len() {
                let (name, kind) = listing.get(at);
                while let Some(gone) = known.next_if(|record| *record.name < *name.to_bytes()) {
                    self.dropped(worker, &here, gone)?;
                }
                let record = known.next_if(|record| *record.name == *name.to_bytes());
                self.entry(worker, &here, name, kind, record.as_ref())?;
            }
            known.try_for_each(|gone| self.dropped(worker, &here, gone))?;
            if !node.aside && owned {
                self.record_block(worker, &path, old_at.map(|at| (at, &*old)))?;
            }
            Ok(())
        })();
        listing.shrink();
        worker.listing = listing;
        worker.old = old;
        walked?;
        self.pool.push_all(&mut worker.tasks);
        drop(made);
        drop(source);
        self.finish(worker, node)
    }

    fn record_block(&self, worker: &Worker, path: &[u8], old: Option<(usize, &[u8])>) -> Result<(), Error> {
        let block = match old {
            Some((at, old)) if old == worker.block => Block::Old(at),
            _ => Block::New { records: &worker.block, orphans: worker.orphans },
        };
        self.add_block(path, block)
    }

    pub(super) fn add_block(&self, path: &[u8], block: Block<'_>) -> Result<(), Error> {
        if self.request.options.dry_run {
            return Ok(());
        }
        self.spill
            .add(path, block, || self.stage()?.overflow())
            .map_err(|e| Error::system("write the manifest in", &self.request.state, e))
    }

    /// An entry of the image.
    fn entry(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        kind: FileType,
        record: Option<&Record<'_>>,
    ) -> Result<(), Error> {
        let is_dir = kind == FileType::Directory;
        if self.is_reserved(here, name) {
            return Ok(());
        }
        if self.filter.skips(here.path, name.to_bytes(), is_dir) {
            return self.retain(worker, here, record);
        }
        if !self.owns(here.path) {
            // Another shard's directory: only the way down is of interest.
            if is_dir {
                let may_make = self.request.options.dry_run || self.is_mine_alone(worker, here, name)?;
                let is_new = may_make && !self.is_there(here, name)?;
                let target = if is_new { self.new_target() } else { Target::Existing };
                worker.tasks.push(Task::Dir(Arc::new(here.node.child(name, target))));
            }
            return Ok(());
        }
        let volume = match here.made {
            // Made by this copy just now: other shards put nothing but directories into it.
            Some(_) if !is_dir && here.node.in_place && here.node.touched.load(Ordering::Relaxed) => None,
            Some(made) => match rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if self.protected.contains(&(stat.st_dev, stat.st_ino)) => return Ok(()),
                Ok(stat) => Some(stat),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(self.volume_error("stat", &here.child(name), errno)),
            },
            None => None,
        };
        match kind {
            FileType::Directory => self.directory(worker, here, name, record, volume.as_ref()),
            FileType::RegularFile => self.file(worker, here, name, record, volume.as_ref()),
            FileType::Symlink => self.link(worker, here, name, record, volume.as_ref()),
            _ => {
                worker.report.skipped.push(shown(&here.child(name)));
                self.retain(worker, here, record)
            }
        }
    }

    /// The runner's own files, and what the filesystem keeps in its root.
    fn is_reserved(&self, here: &Here<'_>, name: &CStr) -> bool {
        if here.node.aside {
            return false;
        }
        if here.node.parent.is_none() && (name.to_bytes() == STATE.as_bytes() || name == c"lost+found") {
            return true;
        }
        self.protected_paths.iter().any(|path| match path.iter().rposition(|b| *b == b'/') {
            Some(slash) => path[..slash] == *here.path && path[slash + 1..] == *name.to_bytes(),
            None => here.path.is_empty() && **path == *name.to_bytes(),
        })
    }

    /// Keeps a record, and those below it, as they are: the entry takes no part in this copy.
    fn retain(&self, worker: &mut Worker, here: &Here<'_>, record: Option<&Record<'_>>) -> Result<(), Error> {
        let Some(record) = record else { return Ok(()) };
        record.write(&mut worker.block);
        worker.orphans |= record.flags.orphan;
        if record.kind == Kind::Dir {
            let mut path = here.path.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&record.name);
            for at in self.old.subtree(&path) {
                self.add_block(self.old.path(at), Block::Old(at))?;
            }
        }
        Ok(())
    }

    /// A record that the image has no entry for any more: marked, with everything below it, for pruning to decide.
    fn dropped(&self, worker: &mut Worker, here: &Here<'_>, mut record: Record<'_>) -> Result<(), Error> {
        let mut path = here.path.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&record.name);
        if self.filter.skips(here.path, &record.name, record.kind == Kind::Dir) {
            return self.retain(worker, here, Some(&record));
        }
        if record.kind == Kind::Dir {
            self.orphan_subtree(&path)?;
        }
        record.flags.orphan = true;
        record.write(&mut worker.block);
        worker.orphans = true;
        Ok(())
    }

    /// Marks every record below a directory as no longer in the image.
    fn orphan_subtree(&self, path: &[u8]) -> Result<(), Error> {
        let (mut block, mut marked) = (Vec::new(), Vec::new());
        for at in self.old.subtree(path) {
            self.old.load(at, &mut block).map_err(|e| Error::system("read", "the manifest", e))?;
            marked.clear();
            for mut record in records(&block) {
                record.flags.orphan = true;
                record.write(&mut marked);
            }
            self.add_block(self.old.path(at), Block::New { records: &marked, orphans: true })?;
        }
        Ok(())
    }

    /// A directory of the image: what its entries are compared with, and where they go.
    fn directory(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        record: Option<&Record<'_>>,
        volume: Option<&Stat>,
    ) -> Result<(), Error> {
        let stat = rustix::fs::statat(here.source, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| self.source_error("stat", &here.child(name), e))?;
        let meta = self.permissions.wanted(&stat);
        let mut flags = Flags::default();
        let was_dir = record.is_some_and(|record| record.kind == Kind::Dir);
        let mut child = None;
        let there = volume.map(|stat| FileType::from_raw_mode(stat.st_mode));
        match there {
            None => {
                let removed = was_dir && self.policy() == Policy::KeepModified && !self.emptied;
                let target = if here.node.in_place && !self.is_mine_alone(worker, here, name)? {
                    Target::Existing
                } else if removed || self.filter.is_selective() || self.request.options.dry_run {
                    Target::Lazy
                } else {
                    Target::New
                };
                if target == Target::Lazy && !removed && !self.filter.is_selective() {
                    worker.report.plan.push(format!("create {}/", shown(&here.child(name))));
                }
                if target != Target::Lazy || self.request.options.dry_run && !removed {
                    worker.report.dirs += 1;
                }
                child = Some(here.node.child(name, target));
            }
            Some(FileType::Directory) => {
                // One that another shard, or a copy that was cut short, has just made is ours all the same.
                flags.found = match record {
                    Some(record) => record.flags.found || !was_dir,
                    None => !here.node.in_place && !self.intended(here.path, name),
                };
                child = Some(here.node.child(name, Target::Existing));
            }
            Some(FileType::Symlink) if self.request.options.follow_destination_links => {
                flags.found = true;
                child = Some(here.node.child(name, Target::Existing));
            }
            Some(other) => {
                let left = match record {
                    Some(record) => self.is_as_left(worker, here, name, Some(record), volume)?,
                    None => false,
                };
                if other == FileType::Symlink && !left {
                    return Err(Error::request(format!(
                        "{} is a symbolic link on the volume where the image has a directory",
                        shown(&here.child(name))
                    )));
                }
                match self.policy() {
                    Policy::Missing => {
                        worker.report.kept += 1;
                        return self.retain(worker, here, record);
                    }
                    Policy::KeepModified if !left => {
                        flags = Flags { kept: true, found: record.is_none(), orphan: false };
                        if record.is_some_and(|record| record.flags.kept && was_dir) {
                            worker.report.kept += 1;
                        } else {
                            worker.report.conflicts.push(shown(&here.child(name)));
                            let mut aside = here.node.child(name, self.new_target());
                            aside.alias = Some(beside(name, ".from-image"));
                            aside.aside = true;
                            child = Some(aside);
                        }
                    }
                    _ => {
                        worker
                            .report
                            .plan
                            .push(format!("replace {} by a directory", shown(&here.child(name))));
                        worker.report.dirs += 1;
                        child = Some(here.node.child(name, self.new_target()));
                    }
                }
            }
        }
        if let Some(child) = child {
            worker.tasks.push(Task::Dir(Arc::new(child)));
        }
        if !here.node.aside {
            let new = Record {
                kind: Kind::Dir,
                flags,
                mode: meta.mode,
                uid: meta.uid,
                gid: meta.gid,
                size: 0,
                mtime: meta.mtime,
                content: Content::None,
                xattrs: None,
                left: Left::AsImage,
                name: name.to_bytes().into(),
            };
            new.write(&mut worker.block);
        }
        Ok(())
    }

    /// Whether the volume has something under the name in a directory that is another shard's.
    fn is_there(&self, here: &Here<'_>, name: &CStr) -> Result<bool, Error> {
        let made = match here.node.made() {
            Ok(made) => made,
            Err(_) if self.request.options.dry_run => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.volume_error("open", here.path, error)),
        };
        match rustix::fs::statat(&*made, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.volume_error("stat", &here.child(name), errno)),
        }
    }

    /// Whether a directory below another has to be made by this shard and no other: it is its own, and there is none
    /// below it. Then it is built in staging, as without shards.
    fn is_mine_alone(&self, worker: &mut Worker, here: &Here<'_>, name: &CStr) -> Result<bool, Error> {
        let path = here.child(name);
        if !self.owns(&path) {
            return Ok(false);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut below = super::listing::Listing::default();
        rustix::fs::openat(here.source, name, flags, Mode::empty())
            .and_then(|dir| below.read(&dir, &mut worker.dirents))
            .map_err(|e| self.source_error("list", &path, e))?;
        Ok((0..below.len()).all(|at| below.get(at).1 != FileType::Directory))
    }

    fn new_target(&self) -> Target {
        if self.request.options.dry_run { Target::Lazy } else { Target::New }
    }

    /// The directory that new entries of `node` are put into.
    pub(super) fn place(&self, node: &Node) -> Result<Arc<OwnedFd>, Error> {
        self.ensure_space()?;
        node.place(&|node| self.stage_for(node), &Self::make_directory).map_err(|error| {
            if Errno::from_io_error(&error) != Some(Errno::XDEV) {
                return self.volume_error("create", &node.path(), error);
            }
            let mut there = node;
            while let (Target::New | Target::Lazy, Some(parent)) = (there.target, &there.parent) {
                there = parent;
            }
            let path = there.path();
            Error::request(format!(
                "{} is on another mount than the destination: exclude it, or give it a copy of its own",
                self.request.destination.join(OsStr::from_bytes(&path)).display()
            ))
        })
    }

    fn stage_for(&self, node: &Node) -> io::Result<(u64, Arc<OwnedFd>)> {
        let stage = self.stage()?;
        // A mount inside the destination, or a link to another filesystem: nothing can be renamed into it.
        if !self.destination.is_on_mount_of(&*node.made()?)? {
            return Err(Errno::XDEV.into());
        }
        stage.add()
    }

    fn make_directory(node: &Node, at: &OwnedFd) -> io::Result<OwnedFd> {
        let mode = node.meta.get().map_or(0o700, |meta| meta.mode);
        let name = node.made_name();
        rustix::fs::mkdirat(at, name, Mode::from_raw_mode((mode | 0o700) & 0o777))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
    }

    /// Whether a new directory has its mode from the start.
    fn made_final(&self, mode: u32) -> bool {
        mode & 0o700 == 0o700 && mode & 0o7000 == 0 && mode & self.permissions.umask == 0
    }

    /// One thing less to wait for; when nothing is left, the directory is completed, and perhaps its parents.
    pub(super) fn finish(&self, worker: &mut Worker, node: Arc<Node>) -> Result<(), Error> {
        let mut node = node;
        while node.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.complete(worker, &node)?;
            match node.parent.clone() {
                Some(parent) => node = parent,
                None => break,
            }
        }
        Ok(())
    }

    fn complete(&self, worker: &mut Worker, node: &Arc<Node>) -> Result<(), Error> {
        let is_root = node.parent.is_none();
        if node.target == Target::Existing {
            if node.stage.get().is_some() {
                self.publish.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(node.clone());
            } else if !is_root && !node.aside && !self.request.options.dry_run && self.owns(&node.path()) {
                self.mend_directory(worker, node, false)?;
            }
            return Ok(());
        }
        if !node.made.is_known() {
            return Ok(());
        }
        if node.target == Target::Lazy {
            worker.report.dirs += 1;
        }
        let Some(meta) = node.meta.get() else { return Ok(()) };
        let failed = |e| self.volume_error("complete", &node.path(), e);
        let made = node.made().map_err(failed)?;
        let mut now = *meta;
        let parent = node.parent.as_ref().filter(|parent| parent.target == Target::Existing);
        let mut created_final = self.made_final(meta.mode);
        if let Some(parent) = parent
            && meta.mode & 0o300 != 0o300
        {
            // rename(2) of a directory into another needs the permission to write it, for its `..`.
            now.mode |= 0o300;
            created_final = false;
            let late = (parent.clone(), node.made_name().to_owned(), meta.mode);
            self.late.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(late);
        }
        if !created_final {
            let stat = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
            now.mode |= self.inherited(meta.mode, &stat).map_err(failed)?;
        }
        self.directory_xattrs(worker, node)?;
        self.permissions.apply(&*made, &now, &worker.xattrs, created_final).map_err(failed)?;
        if self.fsync_each {
            rustix::fs::fsync(&*made).map_err(|e| failed(e.into()))?;
        }
        Ok(())
    }

    /// The set-group-ID bit of a directory on a volume whose root has it (one with an fsGroup): mkdir(2) gives it to
    /// whatever is made below, so that all of it belongs to the volume's group.
    pub(super) fn inherited(&self, mode: u32, stat: &Stat) -> io::Result<u32> {
        let bit = stat.st_mode & !mode & 0o2000;
        Ok(if bit == 0 { 0 } else { bit & self.destination.stat()?.st_mode })
    }

    pub(super) fn directory_xattrs(&self, worker: &mut Worker, node: &Node) -> Result<(), Error> {
        let source = node.source().map_err(|e| self.source_error("open", &node.path(), e))?;
        worker.xattrs.read(&*source).map_err(|e| self.source_error("read the attributes of", &node.path(), e))
    }

    /// Sets an existing directory's mode, owner and mtime right: the mtime only where something was put into it or
    /// the image's is another, as the users of the volume change it all the time.
    pub(super) fn mend_directory(
        &self,
        worker: &mut Worker,
        node: &Node,
        touched: bool,
    ) -> Result<(), Error> {
        let Some(meta) = node.meta.get() else { return Ok(()) };
        let failed = |e: io::Error| self.volume_error("complete", &node.path(), e);
        let made = node.made().map_err(failed)?;
        let stat = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
        let fresh = node.touched.load(Ordering::Relaxed) && node.in_place;
        let image_wins = self.policy() == Policy::Replace || fresh;
        let mode = meta.mode | self.inherited(meta.mode, &stat).map_err(failed)?;
        let differs = stat.st_mode & 0o7777 != mode
            || self.permissions.may_chown() && (stat.st_uid, stat.st_gid) != (meta.uid, meta.gid);
        if image_wins && differs {
            worker.xattrs.clear();
            if fresh {
                self.directory_xattrs(worker, node)?;
            }
            let mtime = if touched { meta.mtime } else { time_of(&stat) };
            let wanted = Meta { mode, mtime, ..*meta };
            self.permissions.apply(made.as_fd(), &wanted, &worker.xattrs, false).map_err(failed)?;
            let after = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
            let changed =
                |a: &Stat, b: &Stat| (a.st_mode, a.st_uid, a.st_gid) != (b.st_mode, b.st_uid, b.st_gid);
            worker.report.metadata += u64::from(changed(&stat, &after) && !fresh);
        } else if touched || fresh {
            super::metadata::set_times(&*made, meta.mtime).map_err(failed)?;
        }
        Ok(())
    }
}
