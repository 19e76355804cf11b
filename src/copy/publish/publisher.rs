//! Publishes what is complete in staging: the renames, then the directories' own metadata, then one sync of the names.
//! The staged content was synced before.

use std::io;
use std::sync::Arc;

use crate::copy::control::Control;
use crate::copy::error::Error;
use crate::copy::io::durable;
use crate::copy::io::listing;
use crate::copy::io::metadata::{Before, Meta};
use crate::copy::io::pool::Pool;
use crate::copy::own_files::OwnFiles;
use crate::copy::plan::known::Known;
use crate::copy::publish::moving::Moving;
use crate::copy::publish::pending::Pending;
use crate::copy::report::Report;
use crate::copy::stage::stager::Stager;
use crate::copy::tree::node::Node;
use crate::copy::tree::roots::Roots;
use crate::copy::tree::worker::Worker;

/// More directories than this are made durable with one sync of the filesystem, which is cheaper.
const SYNC_EACH: usize = 8;

pub(crate) struct Publisher<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) control: &'a Control<'a>,
    pub(crate) known: &'a Known<'a>,
    pub(crate) files: &'a OwnFiles,
    pub(crate) stager: &'a Stager<'a>,
    pub(crate) pending: &'a Pending,
}

impl Publisher<'_> {
    /// Publishes everything; durable on return.
    pub(crate) fn publish(&self, workers: Vec<Worker>, report: &mut Report) -> Result<(), Error> {
        let sync =
            || durable::sync(&self.roots.destination).map_err(|e| self.roots.volume_error("sync", b"", e));
        let nodes = self.pending.take_existing();
        let Some(stage) = self.stager.made().filter(|_| !nodes.is_empty()) else {
            return if report.metadata > 0 && !self.stager.fsync_each { sync() } else { Ok(()) };
        };
        let each = self.stager.fsync_each || nodes.len() <= SYNC_EACH;
        let pool = Pool::new(nodes);
        let workers = pool.run(workers, |worker, node| {
            self.control.go_on()?;
            self.publish_one(worker, &node)?;
            if let Some((key, _)) = node.stage.get() {
                stage.discard(*key);
            }
            let Ok(made) = node.made() else { return Ok(()) };
            if each {
                durable::sync_one(&*made).map_err(|e| self.roots.volume_error("sync", &node.path(), e))?;
            }
            Ok(())
        })?;
        for worker in workers {
            report.merge(worker.report);
        }
        self.late_modes()?;
        if each { Ok(()) } else { sync() }
    }

    /// Renames everything staged for one directory.
    fn publish_one(&self, worker: &mut Worker, node: &Arc<Node>) -> Result<(), Error> {
        let failed = |e: io::Error| self.roots.volume_error("complete", &node.path(), e);
        let made = node.made().map_err(failed)?;
        let Some((_, staged)) = node.stage.get() else { return Ok(()) };
        let at = Moving { path: &node.path(), staged, made: &made, replaced: &node.replaced };
        self.rename_all(worker, &at)?;
        if node.parent.is_some() {
            // Another shard, or the later owner, sets its time.
            if node.finished_by_another || node.covered {
                return Ok(());
            }
            return self.stager.mend_directory(worker, node, true);
        }
        let Some(meta) = node.meta.get().filter(|_| self.roots.created) else { return Ok(()) };
        self.stager.directory_xattrs(worker, node)?;
        let stat = rustix::fs::fstat(&*made).map_err(|e| failed(e.into()))?;
        let mode = meta.mode | self.stager.inherited(meta.mode, &stat).map_err(failed)?;
        let (meta, before) = (Meta { mode, ..*meta }, Before::Found(&stat));
        self.stager.permissions.apply(&*made, &meta, &worker.xattrs, before).map_err(failed)
    }

    fn late_modes(&self) -> Result<(), Error> {
        for (parent, name, mode) in self.pending.take_late_modes() {
            let failed = |e: io::Error| self.roots.volume_error("chmod", &parent.child_path(&name), e);
            let made = parent.made().map_err(failed)?;
            let dir = listing::open(&*made, &*name).map_err(|e| failed(e.into()))?;
            self.stager.permissions.set_mode(&dir, mode).map_err(failed)?;
        }
        Ok(())
    }
}
