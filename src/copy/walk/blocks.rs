//! Collects the records of the new manifest from the workers.

use crate::copy::error::Error;
use crate::copy::manifest::builder::Sorted;
use crate::copy::manifest::{Block, Builder, overflow_in_memory};
use crate::copy::stage::stager::Stager;

/// Records of directories, in pieces and in any order.
pub(crate) struct Blocks<'a> {
    builder: Builder,
    stager: &'a Stager<'a>,
}

impl<'a> Blocks<'a> {
    /// Records that do not fit into memory go to a file in staging.
    pub(crate) fn new(stager: &'a Stager<'a>) -> Self {
        Self { builder: Builder::default(), stager }
    }

    pub(crate) fn add(&self, path: &[u8], block: Block<'_>) -> Result<(), Error> {
        let dry_run = self.stager.control.dry_run;
        if dry_run && matches!(block, Block::New { orphans: false, .. }) {
            // A dry run needs only the records that pruning looks at.
            return Ok(());
        }
        let overflow = || if dry_run { overflow_in_memory() } else { self.stager.stage()?.overflow() };
        self.builder
            .add(path, block, overflow)
            .map_err(|e| Error::system("write the manifest in", &self.stager.roots.path, e))
    }

    /// Sorts all records. Nothing may be added afterwards.
    pub(crate) fn sort(&self) -> Sorted {
        self.builder.sort()
    }
}
