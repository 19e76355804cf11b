//! Runs pruning: `all` removes everything that the source does not have, `owned` what this owner installed.

use std::os::unix::ffi::OsStrExt;

use crate::copy::error::Error;
use crate::copy::io::durable;
use crate::copy::io::path::shown;
use crate::copy::options::Prune;
use crate::copy::prune::pruner::{Going, Pruned, Pruner};
use crate::copy::report::Report;

impl Pruner<'_> {
    pub(crate) fn prune(&self, report: &mut Report) -> Result<Pruned, Error> {
        let dry_run = self.control.dry_run;
        let prune = self.known.options.prune;
        if prune == Prune::None || dry_run && self.roots.created {
            return Ok(Pruned::default());
        }
        let before = report.removed;
        let mut going = Going::new(report);
        // First: records of what this removes are then obsolete.
        if prune == Prune::All && self.roots.single.is_none() {
            self.mirror(&mut going)?;
        }
        let blocks = self.prune_owned(&mut going)?;
        if let Some(name) = self.known.layers.unreadable() {
            going.report.remarks.push(format!(
                "the manifest {} of another copy cannot be read: nothing that it may have installed is pruned; run that \
                 copy again, or remove its manifest",
                shown(name.as_bytes())
            ));
        }
        let is_noted = going.is_noted;
        if going.report.removed > before && !dry_run {
            durable::sync(&self.roots.destination).map_err(|e| self.roots.volume_error("sync", b"", e))?;
        }
        Ok(Pruned { blocks, is_noted })
    }
}
