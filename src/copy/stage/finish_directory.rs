//! A directory on the volume: made where its entries are to go, and completed when the last of them is done, as every
//! entry that is put into it changes its mtime.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{Mode, Stat};
use rustix::io::Errno;

use crate::copy::engine::{Engine, Worker};
use crate::copy::error::Error;
use crate::copy::io::listing;
use crate::copy::io::metadata::{Before, Meta, time_of};
use crate::copy::io::path::shown;
use crate::copy::manifest::{Block, Record};
use crate::copy::options::Policy;
use crate::copy::stage::node::{Node, Target};

impl Engine<'_> {
    /// The directory that new entries of `node` are put into.
    pub(in crate::copy) fn place(&self, node: &Node) -> Result<Arc<OwnedFd>, Error> {
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
                crate::copy::io::path::shown_path(&self.to.join(OsStr::from_bytes(&path)))
            ))
        })
    }

    fn stage_for(&self, node: &Node) -> io::Result<(u64, Arc<OwnedFd>)> {
        let stage = self.stage()?;
        // A mount inside the destination, or a link to another filesystem: nothing can be renamed into it.
        if !self.destination.is_on_mount_of(&*node.made()?)? {
            return Err(Errno::XDEV.into());
        }
        stage.add(&node.path())
    }

    fn make_directory(node: &Node, at: &OwnedFd) -> io::Result<OwnedFd> {
        let mode = node.meta.get().map_or(0o700, |meta| meta.mode);
        let name = node.made_name();
        rustix::fs::mkdirat(at, name, Mode::from_raw_mode((mode | 0o700) & 0o777))?;
        Ok(listing::open(at, name)?)
    }

    /// Whether a new directory has its mode from the start.
    fn made_final(&self, mode: u32) -> bool {
        mode & 0o700 == 0o700 && mode & 0o7000 == 0 && mode & self.permissions.umask == 0
    }

    /// One thing less to wait for; when nothing is left, the directory is completed, and perhaps its parents.
    pub(in crate::copy) fn finish(&self, worker: &mut Worker, node: Arc<Node>) -> Result<(), Error> {
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
            let mended = !is_root && !node.aside && !node.others && !node.covered;
            if mended {
                self.record_xattrs(worker, node)?;
            }
            if node.stage.get().is_some() {
                crate::support::mutex::lock(&self.publish).push(node.clone());
            } else if mended {
                self.mend_directory(worker, node, node.redated)?;
            }
            return Ok(());
        }
        if !node.made.is_known() {
            return Ok(());
        }
        if node.target == Target::Lazy && !node.others {
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
            crate::support::mutex::lock(&self.late).push(late);
        }
        if !created_final {
            let stat = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
            now.mode |= self.inherited(meta.mode, &stat).map_err(failed)?;
        }
        self.record_xattrs(worker, node)?;
        let before = Before::Made { moded: created_final };
        self.permissions.apply(&*made, &now, &worker.xattrs, before).map_err(failed)?;
        if self.fsync_each {
            crate::copy::io::durable::sync_one(&*made).map_err(failed)?;
            self.publish_piece(node);
        }
        Ok(())
    }

    /// The set-group-ID bit of a directory on a volume whose root has it (one with an fsGroup): mkdir(2) gives it to
    /// whatever is made below, so that all of it belongs to the volume's group.
    pub(in crate::copy) fn inherited(&self, mode: u32, stat: &Stat) -> io::Result<u32> {
        let bit = stat.st_mode & !mode & 0o2000;
        Ok(if bit == 0 { 0 } else { bit & self.destination.stat()?.st_mode })
    }

    /// Reads the extended attributes that the image has for a directory and compares them with what it had. Their digest
    /// goes into the record, which its parent has written before the directory was opened: as a piece of its own.
    fn record_xattrs(&self, worker: &mut Worker, node: &Node) -> Result<(), Error> {
        self.directory_xattrs(worker, node)?;
        // What is there keeps its attributes, and its record.
        if node.aside || node.others || node.target == Target::Existing && self.policy() == Policy::Missing {
            return Ok(());
        }
        let xattrs = worker.xattrs.digest();
        node.attributed.store(!node.unrecorded && xattrs != node.xattrs, Ordering::Relaxed);
        if let (Some(_), Some(parent)) = (xattrs, &node.parent) {
            worker.block.clear();
            Record { xattrs, ..Record::directory(node.name.to_bytes()) }.write(&mut worker.block);
            self.add_block(&parent.path(), Block::New { records: &worker.block, orphans: false })?;
        }
        Ok(())
    }

    pub(in crate::copy) fn directory_xattrs(&self, worker: &mut Worker, node: &Node) -> Result<(), Error> {
        let source = node.source().map_err(|e| self.source_error("open", &node.path(), e))?;
        worker.xattrs.read(&*source).map_err(|e| self.source_error("read the attributes of", &node.path(), e))
    }

    /// Sets an existing directory's mode, owner, attributes and mtime right: the attributes only where the image's are not
    /// what they were, the mtime only where something was put into it or the image's is another, as the users of the volume
    /// change it all the time.
    pub(in crate::copy) fn mend_directory(
        &self,
        worker: &mut Worker,
        node: &Node,
        touched: bool,
    ) -> Result<(), Error> {
        let Some(meta) = node.meta.get() else { return Ok(()) };
        let failed = |e: io::Error| self.volume_error("complete", &node.path(), e);
        // A copy that was cut short may have put something into it and not come to set its mtime.
        let touched = touched || self.intent.has(node);
        let made = node.made().map_err(failed)?;
        let stat = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
        // One that another copier made in place is known by the mode that it is made with there.
        let as_made = node.mode_in_place() & !self.permissions.umask;
        let fresh =
            node.is_just_made() || node.in_place && node.unrecorded && stat.st_mode & 0o777 == as_made;
        let image_wins = self.policy() == Policy::Replace || node.changed || fresh;
        let attributed = node.attributed.load(Ordering::Relaxed);
        let mode = meta.mode | self.inherited(meta.mode, &stat).map_err(failed)?;
        let lacks = self.permissions.lacks().unwrap_or_default();
        let as_there = Meta { mode, mtime: time_of(&stat), ..*meta };
        let differs = self.permissions.differs(&stat, &as_there);
        if self.request.options.dry_run {
            if image_wins && differs || attributed {
                worker.report.plan.push(format!("set the metadata of {}", shown(&node.path())));
                worker.report.metadata += 1;
            }
            return Ok(());
        }
        if attributed || fresh {
            self.directory_xattrs(worker, node)?;
            let set = self.permissions.bring_xattrs(&*made, &worker.xattrs, node.xattrs);
            set.map_err(failed)?;
        }
        worker.xattrs.clear();
        if image_wins && differs {
            let wanted = Meta { mode, ..*meta };
            self.permissions
                .apply(made.as_fd(), &wanted, &worker.xattrs, Before::Found(&stat))
                .map_err(failed)?;
            let after = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
            let changed =
                |a: &Stat, b: &Stat| (a.st_mode, a.st_uid, a.st_gid) != (b.st_mode, b.st_uid, b.st_gid);
            let told = (changed(&stat, &after) || attributed) && !fresh;
            worker.report.metadata += u64::from(told);
            if told {
                worker.report.changes.push(&node.path(), "metadata", "not as in the source");
            }
        } else {
            worker.report.metadata += u64::from(attributed && !fresh);
            let image_wins = self.policy() == Policy::Replace && !self.beside_run;
            if touched || fresh || image_wins && !lacks.is_same_time(time_of(&stat), meta.mtime) {
                self.permissions.set_times(&*made, meta.mtime).map_err(failed)?;
            }
        }
        Ok(())
    }
}
