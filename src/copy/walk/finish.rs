//! Finishes a directory once all its entries are handled: completes it in staging, or queues it for publishing. Not
//! earlier, because each new entry changes its mtime.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::copy::differs::Differs;
use crate::copy::error::Error;
use crate::copy::io::durable;
use crate::copy::io::metadata::{Before, Meta};
use crate::copy::manifest::{Block, Record};
use crate::copy::options::Policy;
use crate::copy::tree::node::{Node, Target};
use crate::copy::tree::worker::Worker;
use crate::copy::walk::context::Walk;

impl Walk<'_> {
    /// Counts one finished entry. After the last one, finishes the directory and perhaps its parents.
    pub(crate) fn finish(&self, worker: &mut Worker, node: Arc<Node>) -> Result<(), Error> {
        let mut node = node;
        while node.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            if node.target == Target::Existing {
                self.finish_existing(worker, &node)?;
            } else if node.made.is_known() {
                self.finish_made(worker, &node)?;
            } else if let (Some(records), Some(parent), false) =
                (&node.instead, &node.parent, node.touched.load(Ordering::Relaxed))
            {
                self.blocks.add(&parent.path(), Block::New { records, orphans: true })?;
            }
            match node.parent.clone() {
                Some(parent) => node = parent,
                None => break,
            }
        }
        Ok(())
    }

    fn finish_existing(&self, worker: &mut Worker, node: &Arc<Node>) -> Result<(), Error> {
        let mended =
            node.parent.is_some() && !node.beside_users && !node.finished_by_another && !node.covered;
        if mended {
            self.record_xattrs(worker, node)?;
        }
        if node.stage.get().is_some() {
            self.pending.add_existing(node.clone());
        } else if mended {
            self.stager.mend_directory(worker, node, node.redated)?;
        }
        Ok(())
    }

    fn finish_made(&self, worker: &mut Worker, node: &Arc<Node>) -> Result<(), Error> {
        if node.target == Target::Lazy && !node.finished_by_another {
            worker.report.dirs += 1;
            let action = if node.is_replacing() { "replaced" } else { "installed" };
            let differs = Differs::of([(Differs::TYPE, node.is_replacing())]);
            let told = (action, "a directory of the source");
            worker.report.changes.push_differing(&node.path(), told, differs);
        }
        let Some(meta) = node.meta.get() else { return Ok(()) };
        if let Some(parent) =
            node.parent.as_ref().filter(|_| node.is_recorded_when_made() && !node.beside_users)
        {
            worker.block.clear();
            let Meta { mode, uid, gid, mtime } = *meta;
            Record { mode, uid, gid, mtime, ..Record::directory(node.name.to_bytes()) }
                .write(&mut worker.block);
            self.blocks.add(&parent.path(), Block::New { records: &worker.block, orphans: false })?;
        }
        let failed = |e| self.roots.volume_error("complete", &node.path(), e);
        let made = node.made().map_err(failed)?;
        let mut now = *meta;
        let parent = node.parent.as_ref().filter(|parent| parent.target == Target::Existing);
        let mut moded = self.is_made_with(meta.mode);
        if let Some(parent) = parent
            && meta.mode & 0o300 != 0o300
        {
            // To move a directory, rename(2) needs write permission on it, for its `..`.
            now.mode |= 0o300;
            moded = false;
            self.pending.add_late_mode((parent.clone(), node.made_name().to_owned(), meta.mode));
        }
        if !moded {
            let stat = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
            now.mode |= self.stager.inherited(meta.mode, &stat).map_err(failed)?;
        }
        self.record_xattrs(worker, node)?;
        let before = Before::Made { moded };
        self.stager.permissions.apply(&*made, &now, &worker.xattrs, before).map_err(failed)?;
        if self.stager.fsync_each {
            durable::sync_one(&*made).map_err(failed)?;
            self.pending.publish_piece(node);
        }
        Ok(())
    }

    /// Whether a new directory is created with its final mode.
    fn is_made_with(&self, mode: u32) -> bool {
        mode & 0o700 == 0o700 && mode & 0o7000 == 0 && mode & self.stager.permissions.umask == 0
    }

    /// Compares the image's extended attributes of a directory with those of the last copy. Their digest is added as a
    /// separate piece, because the parent wrote the record before the directory was opened.
    fn record_xattrs(&self, worker: &mut Worker, node: &Node) -> Result<(), Error> {
        self.stager.directory_xattrs(worker, node)?;
        let leaves = node.target == Target::Existing && self.known.policy() == Policy::Missing;
        // The existing directory keeps its attributes and its record.
        if node.beside_users || node.finished_by_another || leaves {
            return Ok(());
        }
        let xattrs = worker.xattrs.digest();
        node.attributed.store(!node.unrecorded && xattrs != node.xattrs, Ordering::Relaxed);
        if let (Some(_), Some(parent)) = (xattrs, &node.parent) {
            worker.block.clear();
            Record { xattrs, ..Record::directory(node.name.to_bytes()) }.write(&mut worker.block);
            self.blocks.add(&parent.path(), Block::New { records: &worker.block, orphans: false })?;
        }
        Ok(())
    }
}
