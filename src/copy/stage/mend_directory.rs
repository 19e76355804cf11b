//! Repairs mode, owner, attributes and mtime of a directory on the volume.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::fs::Stat;

use crate::copy::differs::Differs;
use crate::copy::error::Error;
use crate::copy::io::metadata::{Before, Meta, changed_between, time_of};
use crate::copy::io::path::shown;
use crate::copy::io::xattrs::Xattrs;
use crate::copy::options::Policy;
use crate::copy::stage::mend::NOT_AS_SOURCE;
use crate::copy::stage::stager::Stager;
use crate::copy::tree::node::Node;
use crate::copy::tree::worker::Worker;

impl Stager<'_> {
    /// The set-group-ID bit, if the volume's root has it (as with an fsGroup): mkdir(2) passes it on to every new
    /// directory, so that everything belongs to the volume's group.
    pub(crate) fn inherited(&self, mode: u32, stat: &Stat) -> io::Result<u32> {
        let bit = stat.st_mode & !mode & 0o2000;
        Ok(if bit == 0 { 0 } else { bit & self.roots.destination.stat()?.st_mode })
    }

    /// Reads the attributes that the image has for a directory.
    pub(crate) fn directory_xattrs(&self, worker: &mut Worker, node: &Node) -> Result<(), Error> {
        let failed = |what, e| self.roots.source_error(what, &node.path(), e);
        let source = node.source().map_err(|e| failed("open", e))?;
        worker.xattrs.read(&*source).map_err(|e| failed("read the attributes of", e))
    }

    /// Repairs an existing directory's mode, owner, attributes and mtime. Attributes are set only if the image's have
    /// changed or the volume lacks them. The mtime is set only if something was put into the directory (`touched`) or the
    /// image's has changed, because users of the volume change it all the time.
    pub(crate) fn mend_directory(
        &self,
        worker: &mut Worker,
        node: &Node,
        touched: bool,
    ) -> Result<(), Error> {
        let Some(meta) = node.meta.get() else { return Ok(()) };
        let failed = |e: io::Error| self.roots.volume_error("complete", &node.path(), e);
        // An interrupted copy may have put something into it without setting its mtime.
        let touched = touched || self.known.intent.has(&node.path());
        let made = node.made().map_err(failed)?;
        let stat = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
        let fresh = self.is_fresh(node, &stat);
        let replaces = self.known.policy() == Policy::Replace;
        let image_wins = replaces || node.changed || fresh;
        let attributed = node.attributed.load(Ordering::Relaxed);
        let may_mend = replaces && !self.known.beside_run && !attributed && !fresh;
        let lost = may_mend && self.lost_xattrs(worker, node, &made)?;
        let mode = meta.mode | self.inherited(meta.mode, &stat).map_err(failed)?;
        let differs = self.permissions.differs(&stat, &Meta { mode, mtime: time_of(&stat), ..*meta });
        if self.control.dry_run {
            if image_wins && differs || attributed || lost {
                worker.report.plan.push(format!("set the metadata of {}", shown(&node.path())));
                let attributes = Differs::of([(Differs::XATTRS, attributed || lost)]);
                let differs =
                    self.permissions.differing(&stat, &Meta { mode, mtime: time_of(&stat), ..*meta });
                let differs = if image_wins { differs.and(attributes) } else { attributes };
                worker.report.changes.push_differing(&node.path(), NOT_AS_SOURCE, differs);
                worker.report.metadata += 1;
            }
            return Ok(());
        }
        if attributed || fresh {
            self.directory_xattrs(worker, node)?;
            self.permissions.bring_xattrs(&*made, &worker.xattrs, node.xattrs).map_err(failed)?;
        }
        let mut told = Differs::of([(Differs::XATTRS, attributed)]);
        if lost {
            self.permissions.bring_xattrs(&*made, &worker.xattrs, None).map_err(failed)?;
            // What is not permitted stays away, and is told as that.
            told = Differs::of([(Differs::XATTRS, !self.lost_xattrs(worker, node, &made)?)]);
        }
        worker.xattrs.clear();
        if image_wins && differs {
            let before = Before::Found(&stat);
            let wanted = Meta { mode, ..*meta };
            self.permissions.apply(made.as_fd(), &wanted, &worker.xattrs, before).map_err(failed)?;
            let after = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
            // Its mtime alone changes with each entry.
            told = told.and(changed_between(&stat, &after).without(Differs::TIME));
        } else {
            let lacks = self.permissions.lacks().unwrap_or_default();
            let redated =
                replaces && !self.known.beside_run && !lacks.is_same_time(time_of(&stat), meta.mtime);
            if touched || fresh || redated {
                self.permissions.set_times(&*made, meta.mtime).map_err(failed)?;
            }
        }
        if !told.is_empty() && !fresh {
            worker.report.metadata += 1;
            worker.report.changes.push_differing(&node.path(), NOT_AS_SOURCE, told);
        }
        Ok(())
    }

    /// Reads the image's attributes that the volume's directory lacks: it was there before the first copy, or has lost them,
    /// as in a restore without them. Those with another value are a user's.
    fn lost_xattrs(&self, worker: &mut Worker, node: &Node, made: &OwnedFd) -> Result<bool, Error> {
        let has_none = node.xattrs.is_none() && !node.unrecorded;
        if has_none || self.permissions.lacks().unwrap_or_default().xattrs {
            return Ok(false);
        }
        self.directory_xattrs(worker, node)?;
        let mut there = Xattrs::default();
        there.read(made).map_err(|e| self.roots.volume_error("read the attributes of", &node.path(), e))?;
        worker.xattrs.remove_names_of(&there);
        Ok(!worker.xattrs.is_empty())
    }

    /// Whether this copy or another copier of the tree has just made the directory in place; its provisional mode
    /// tells.
    fn is_fresh(&self, node: &Node, stat: &Stat) -> bool {
        let as_made = node.mode_in_place() & !self.permissions.umask;
        node.is_just_made() || node.in_place && node.unrecorded && stat.st_mode & 0o777 == as_made
    }
}
