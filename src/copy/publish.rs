//! What is complete in staging gets its final names: one sync of the filesystem, then the renames, then the
//! directories' own metadata, then another sync of the names.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::durable;
use super::engine::{Engine, Worker};
use super::error::Error;
use super::node::Node;
use super::pool::Pool;
use super::report::Report;
use super::stage::{beside, shown};
use crate::beneath::Dir;

/// Up to so many directories are synced one by one; beyond, the whole filesystem is cheaper.
const SYNC_EACH: usize = 8;

impl Engine<'_> {
    pub(super) fn publish_phase(&self, report: &mut Report) -> Result<(), Error> {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let nodes = std::mem::take(&mut *self.publish.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(stage) = stage.filter(|_| !nodes.is_empty()) {
            if !self.fsync_each {
                durable::sync(&stage.dir).map_err(|e| self.volume_error("sync", b"", e))?;
            }
            let count = nodes.len();
            let each = self.fsync_each || count <= SYNC_EACH;
            let pool = Pool::new(nodes);
            let workers = pool.run(self.workers(), |worker, node| {
                if self.cancel.is_cancelled() {
                    return Err(Error::cancelled());
                }
                self.publish_one(worker, &node)?;
                stage.discard(&node);
                let Ok(made) = node.made() else { return Ok(()) };
                if each {
                    rustix::fs::fsync(&*made).map_err(|e| self.volume_error("sync", &node.path(), e))?;
                }
                Ok(())
            })?;
            for worker in workers {
                report.merge(worker.report);
            }
            self.late_modes()?;
            if !each {
                durable::sync(&self.destination).map_err(|e| self.volume_error("sync", b"", e))?;
            }
        } else if report.metadata > 0 && !self.fsync_each {
            durable::sync(&self.destination).map_err(|e| self.volume_error("sync", b"", e))?;
        }
        Ok(())
    }

    /// Gives a piece that is complete and on stable storage its name at once, if it has been noted that it was about to
    /// get it: rename(2) takes a lock of the whole filesystem, and the pieces of all who are at work here would wait for
    /// it in the end. What cannot have its name that easily is left for the end.
    pub(super) fn publish_piece(&self, node: &Node) {
        if !self.noted.load(Ordering::Acquire) || !node.is_piece() || node.held.load(Ordering::Relaxed) {
            return;
        }
        let Some(parent) = &node.parent else { return };
        if let (Some((_, staged)), Ok(made)) = (parent.stage.get(), parent.made()) {
            let _ = rustix::fs::renameat(&**staged, &*node.name, &*made, &*node.name);
        }
    }

    /// Renames what is staged for one directory into it.
    fn publish_one(&self, worker: &mut Worker, node: &Arc<Node>) -> Result<(), Error> {
        let failed = |e: io::Error| self.volume_error("open", &node.path(), e);
        let made = node.made().map_err(failed)?;
        let Some((_, staged)) = node.stage.get() else { return Ok(()) };
        // Opened when it was empty: btrfs lists only what was there then, until the position is set (Linux 6.6).
        rustix::fs::seek(&**staged, rustix::fs::SeekFrom::Start(0)).map_err(|e| failed(e.into()))?;
        worker.listing.read(&**staged, &mut worker.dirents).map_err(|e| failed(e.into()))?;
        let listing = std::mem::take(&mut worker.listing);
        let mut opened_up = None;
        let mut outcome = Ok(());
        for at in 0..listing.len() {
            let (name, kind) = listing.get(at);
            let mut renamed = rustix::fs::renameat(&**staged, name, &*made, name);
            if renamed == Err(Errno::ACCESS) && opened_up.is_none() {
                // A read-only directory of our own: opened for the time of this.
                if let Ok(stat) = rustix::fs::fstat(&*made) {
                    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777 | 0o300);
                    if rustix::fs::fchmod(&*made, mode).is_ok() {
                        opened_up = Some(stat.st_mode & 0o7777);
                        renamed = rustix::fs::renameat(&**staged, name, &*made, name);
                    }
                }
            }
            let done = match renamed {
                Err(Errno::ISDIR | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                    self.swap(worker, node, &made, staged, name, kind)
                }
                other => other.map_err(Into::into),
            };
            if let Err(error) = done {
                outcome = Err(self.volume_error("rename", &super::node::child(node, name), error));
                break;
            }
        }
        worker.listing = listing;
        if let Some(mode) = opened_up {
            let _ = rustix::fs::fchmod(&*made, Mode::from_raw_mode(mode));
        }
        outcome?;
        if node.parent.is_some() {
            // Its time is set once more by the last of those who share it.
            if node.others {
                return Ok(());
            }
            self.mend_directory(worker, node, true)?;
        } else if self.created_root {
            self.directory_xattrs(worker, node)?;
            if let Some(meta) = node.meta.get() {
                let stat = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
                let mode = meta.mode | self.inherited(meta.mode, &stat).map_err(failed)?;
                let meta = super::metadata::Meta { mode, ..*meta };
                let before = super::metadata::Before::Found(&stat);
                self.permissions.apply(&*made, &meta, &worker.xattrs, before).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// An entry of another type has the name: the two change places, then the old one is removed with staging. A
    /// directory that holds anything not installed by a copy is put beside it instead.
    fn swap(
        &self,
        worker: &mut Worker,
        node: &Node,
        made: &OwnedFd,
        staged: &OwnedFd,
        name: &CStr,
        kind: FileType,
    ) -> io::Result<()> {
        let path = super::node::child(node, name);
        let stat = rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let was_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if was_dir && kind == FileType::Directory {
            // Somebody made the directory meanwhile.
            return Err(Errno::EXIST.into());
        }
        let ours = !was_dir || self.is_installed(made, name, &path)?;
        match rustix::fs::renameat_with(staged, name, made, name, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // A filesystem that cannot: the name is missing for a moment.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let old = beside(name, ".replaced");
                rustix::fs::renameat(made, name, staged, &*old)?;
                rustix::fs::renameat(staged, name, made, name)?;
                rustix::fs::renameat(staged, &*old, staged, name)?;
            }
            Err(errno) => return Err(errno.into()),
        }
        if ours {
            return Ok(());
        }
        for n in 0..1000 {
            let suffix = if n == 0 { ".from-volume".to_owned() } else { format!(".from-volume-{n}") };
            let aside = beside(name, &suffix);
            match rustix::fs::renameat_with(staged, name, made, &*aside, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    let to = super::node::child(node, &aside);
                    let remark = format!(
                        "{} was a directory with other content: moved to {}",
                        shown(&path),
                        shown(&to)
                    );
                    worker.report.remarks.push(remark);
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Whether everything in a directory of the volume was installed by a copy and is as it was left.
    fn is_installed(&self, made: impl AsFd, name: &CStr, path: &[u8]) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = Dir::from_fd(rustix::fs::openat(made, name, flags, Mode::empty())?);
        let (mut block, mut buffer) = (Vec::new(), Vec::new());
        let mut todo = vec![(top, path.to_vec())];
        while let Some((dir, path)) = todo.pop() {
            block.clear();
            if let Some(at) = self.old.find(&path) {
                self.old.load(at, &mut block)?;
            }
            for (name, kind) in dir.entries()? {
                use std::os::unix::ffi::OsStrExt;
                let bytes = name.as_bytes();
                let known = super::manifest::records(&block).find(|record| *record.name == *bytes);
                let Some(record) = known.filter(|r| !r.flags.found && !r.flags.kept) else {
                    return Ok(false);
                };
                let Ok(c_name) = std::ffi::CString::new(bytes) else { return Ok(false) };
                if kind == FileType::Directory && record.kind == super::manifest::Kind::Dir {
                    let mut below = path.clone();
                    below.push(b'/');
                    below.extend_from_slice(bytes);
                    todo.push((dir.open_dir(&name)?, below));
                    continue;
                }
                let Some((kind, size, _, _, content)) = record.as_left() else { return Ok(false) };
                let stat = dir.stat_at(&name)?;
                if !super::compare::compare_content(&dir, &c_name, kind, size, content, &stat, &mut buffer)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn late_modes(&self) -> Result<(), Error> {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        for (parent, name, mode) in late {
            let failed = |e: io::Error| self.volume_error("chmod", &super::node::child(&parent, &name), e);
            let made = parent.made().map_err(failed)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let dir =
                rustix::fs::openat(&*made, &*name, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode)).map_err(|e| failed(e.into()))?;
        }
        Ok(())
    }
}
