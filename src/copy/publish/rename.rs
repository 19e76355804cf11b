//! What is complete in staging gets its final names: one sync of the filesystem, with the note of what comes beside it, then
//! the renames, then the directories' own metadata, then another sync of the names.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::copy::engine::{Engine, Worker};
use crate::copy::error::Error;
use crate::copy::io::durable;
use crate::copy::io::listing;
use crate::copy::io::path::child;
use crate::copy::io::pool::Pool;
use crate::copy::journal::write::Note;
use crate::copy::manifest::spill::Sorted;
use crate::copy::report::Report;
use crate::copy::stage::node::Node;
use crate::support::mutex;

/// Up to so many directories are synced one by one; beyond, the whole filesystem is cheaper.
const SYNC_EACH: usize = 8;

impl Engine<'_> {
    /// Before the first name: what is staged is on stable storage, and so is the note of what is about to get its name.
    /// Side by side, as the one waits for the disk and the other is written meanwhile. Answers what was noted.
    pub(in crate::copy) fn prepare(&self, sorted: &Sorted) -> Result<Note, Error> {
        let stage = mutex::lock(&self.stage).clone();
        let is_empty = mutex::lock(&self.publish).is_empty();
        let Some(stage) = stage.filter(|_| !self.fsync_each && !is_empty) else { return self.note(sorted) };
        let sync = || durable::sync(&stage.dir).map_err(|e| self.volume_error("sync", b"", e));
        std::thread::scope(|scope| {
            let Ok(beside) = std::thread::Builder::new().name("sync".into()).spawn_scoped(scope, sync) else {
                sync()?;
                return self.note(sorted);
            };
            let noted = self.note(sorted);
            beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            noted
        })
    }

    pub(in crate::copy) fn publish_phase(&self, report: &mut Report) -> Result<(), Error> {
        let stage = mutex::lock(&self.stage).clone();
        let nodes = std::mem::take(&mut *mutex::lock(&self.publish));
        if let Some(stage) = stage.filter(|_| !nodes.is_empty()) {
            let count = nodes.len();
            let each = self.fsync_each || count <= SYNC_EACH;
            let pool = Pool::new(nodes);
            let workers = pool.run(self.workers(), |worker, node| {
                self.go_on()?;
                self.publish_one(worker, &node)?;
                if let Some((key, _)) = node.stage.get() {
                    stage.discard(*key);
                }
                let Ok(made) = node.made() else { return Ok(()) };
                if each {
                    durable::sync_one(&*made).map_err(|e| self.volume_error("sync", &node.path(), e))?;
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
    pub(in crate::copy) fn publish_piece(&self, node: &Node) {
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
        let failed = |e: io::Error| self.volume_error("complete", &node.path(), e);
        let made = node.made().map_err(failed)?;
        let Some((_, staged)) = node.stage.get() else { return Ok(()) };
        self.rename_all(worker, &node.path(), staged, &made)?;
        if node.parent.is_some() {
            // Its time is set once more by the last of those who share it.
            if node.others || node.covered {
                return Ok(());
            }
            self.mend_directory(worker, node, true)?;
        } else if self.created_root {
            self.directory_xattrs(worker, node)?;
            if let Some(meta) = node.meta.get() {
                let stat = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
                let mode = meta.mode | self.inherited(meta.mode, &stat).map_err(failed)?;
                let meta = crate::copy::io::metadata::Meta { mode, ..*meta };
                let before = crate::copy::io::metadata::Before::Found(&stat);
                self.permissions.apply(&*made, &meta, &worker.xattrs, before).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn late_modes(&self) -> Result<(), Error> {
        let late = std::mem::take(&mut *mutex::lock(&self.late));
        for (parent, name, mode) in late {
            let failed = |e: io::Error| self.volume_error("chmod", &child(&parent, &name), e);
            let made = parent.made().map_err(failed)?;
            let dir = listing::open(&*made, &*name).map_err(|e| failed(e.into()))?;
            self.permissions.set_mode(&dir, mode).map_err(failed)?;
        }
        Ok(())
    }
}
