//! The new manifest takes the place of the old one, when everything that it says is on the volume.

use std::sync::atomic::Ordering;

use crate::copy::error::Error;
use crate::copy::journal::ledger::{Ledger, Note};
use crate::copy::manifest;
use crate::copy::manifest::spill::Sorted;
use crate::copy::prune::pruner::Pruned;
use crate::copy::shard::names;

/// Puts the manifest in force, and clears the journal of what it says. `noted` is what was journalled before.
pub(crate) fn put_in_force(
    ledger: &Ledger<'_>,
    sorted: &Sorted,
    noted: Note,
    pruned: &Pruned,
) -> Result<(), Error> {
    let (files, known) = (ledger.files, ledger.known);
    let failed = |e| ledger.roots.manifest_error(e);
    let (journal, dir) = (files.journal()?, files.manifests()?);
    let changed = pruned.is_noted || !pruned.blocks.is_empty();
    match noted {
        Note::Manifest if !changed => {
            let close = || known.close_manifests();
            manifest::rename((journal, &files.next), (dir, &files.part), close).map_err(failed)?;
            manifest::sync_directory(dir).map_err(failed)?;
            // What was published has an earlier ctime then, also where rename(2) sets none.
            manifest::touch(dir, &files.part);
        }
        Note::None if !changed => {
            // Of a copy that was cut short, when the image is again what it was before.
            if !known.intent.is_empty() {
                known.close_manifests();
                journal.remove_all(&files.next).map_err(failed)?;
            }
            if known.looked.load(Ordering::Relaxed) {
                // What had been touched was found to be as it was left: it need not be read the next time.
                manifest::touch(dir, &files.part);
            }
        }
        _ => {
            let blocks = sorted.directories().filter_map(|(path, _, range)| match pruned.blocks.get(path) {
                Some(None) => None,
                Some(Some(block)) => Some(Ok((Box::from(path), block.clone()))),
                None => {
                    let mut block = Vec::new();
                    Some(sorted.load(range, &known.old, &mut block).map(|()| (Box::from(path), block)))
                }
            });
            let (head, close) = (ledger.head(), || known.close_manifests());
            manifest::write_then(dir, (&files.part, &head), blocks, close).map_err(failed)?;
            known.close_manifests();
            journal.remove_all(&files.next).map_err(failed)?;
        }
    }
    if known.scope.shares.is_none() && known.intent.has_parts() {
        names::remove_parts(journal, &files.manifest).map_err(failed)?;
    }
    Ok(())
}
