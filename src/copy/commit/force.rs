//! Replaces the old manifest by the new one, once everything that it says is on the volume.

use std::sync::atomic::Ordering;

use crate::copy::error::Error;
use crate::copy::journal::ledger::{Ledger, Note};
use crate::copy::manifest;
use crate::copy::manifest::builder::Sorted;
use crate::copy::prune::pruner::Pruned;
use crate::copy::shard::names;

/// Puts the new manifest in force and clears the journal. `noted` says what the journal holds.
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
            // Makes the manifest's ctime later than that of every published file, also where rename(2) does not set
            // ctime.
            manifest::touch(dir, &files.part);
        }
        Note::None if !changed => {
            // An interrupted copy left notes, but the image is the one that is already recorded.
            if !known.intent.is_empty() {
                known.close_manifests();
                journal.remove_all(&files.next).map_err(failed)?;
            }
            if known.looked.load(Ordering::Relaxed) {
                // Files with a later ctime were read and found unchanged. A newer manifest saves reading them next
                // time.
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
