//! The records of the new manifest, as the workers hand them in.

use crate::copy::error::Error;
use crate::copy::manifest::spill::Sorted;
use crate::copy::manifest::{Block, Spill, overflow_in_memory};
use crate::copy::stage::stager::Stager;

/// Records of directories, in pieces and in any order.
pub(crate) struct Blocks<'a> {
    spill: Spill,
    stager: &'a Stager<'a>,
}

impl<'a> Blocks<'a> {
    /// What does not fit into memory goes to staging.
    pub(crate) fn new(stager: &'a Stager<'a>) -> Self {
        Self { spill: Spill::default(), stager }
    }

    /// Adds records of the directory `path`.
    pub(crate) fn add(&self, path: &[u8], block: Block<'_>) -> Result<(), Error> {
        let dry_run = self.stager.control.dry_run;
        if dry_run && matches!(block, Block::New { orphans: false, .. }) {
            // Nothing is recorded; what pruning would remove is asked for in the end.
            return Ok(());
        }
        let overflow = || if dry_run { overflow_in_memory() } else { self.stager.stage()?.overflow() };
        self.spill
            .add(path, block, overflow)
            .map_err(|e| Error::system("write the manifest in", &self.stager.roots.path, e))
    }

    /// All of them: no more may be added.
    pub(crate) fn sort(&self) -> Sorted {
        self.spill.sort()
    }
}
