//! Removing one entry, or in a dry run listing it. Last of all, so that a copy that fails has removed nothing; journalled
//! before the first.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;

use rustix::fs::Mode;
use rustix::io::Errno;

use crate::copy::control::Control;
use crate::copy::error::Error;
use crate::copy::io::metadata::{open_up, set_times, time_of};
use crate::copy::io::path::{parent, shown};
use crate::copy::journal::ledger::Ledger;
use crate::copy::manifest::spill::Sorted;
use crate::copy::plan::known::Known;
use crate::copy::plan::scope::Scope;
use crate::copy::report::Report;
use crate::copy::tree::roots::Roots;
use crate::support::rooted_dir::Dir;

/// Blocks of the manifest that pruning has changed; `None` for a directory that is gone.
pub(crate) type Blocks = HashMap<Box<[u8]>, Option<Vec<u8>>>;

/// What pruning changed.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    pub(crate) blocks: Blocks,
    /// Something was about to be removed, and that was journalled.
    pub(crate) is_noted: bool,
}

/// Removes what the source does not have.
pub(crate) struct Pruner<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) scope: &'a Scope,
    pub(crate) known: &'a Known<'a>,
    pub(crate) control: &'a Control<'a>,
    pub(crate) ledger: &'a Ledger<'a>,
    /// The new manifest.
    pub(crate) sorted: &'a Sorted,
}

/// What goes along while a tree is pruned.
pub(crate) struct Going<'a> {
    /// What a dry run has found out would go.
    planned: HashSet<Vec<u8>>,
    /// Something was about to be removed, and that was journalled.
    pub(crate) is_noted: bool,
    pub(crate) report: &'a mut Report,
}

/// An entry that may be removed.
pub(crate) struct Victim<'a> {
    pub(crate) dir: &'a Dir,
    pub(crate) name: &'a OsStr,
    /// Below the destination.
    pub(crate) path: &'a [u8],
    pub(crate) is_dir: bool,
}

impl<'a> Going<'a> {
    pub(crate) fn new(report: &'a mut Report) -> Self {
        Self { planned: HashSet::new(), is_noted: false, report }
    }

    pub(crate) fn plans(&self, path: &[u8]) -> bool {
        self.planned.contains(path)
    }

    /// Whether a directory, or one that it is in, would be gone.
    pub(crate) fn plans_above(&self, path: &[u8]) -> bool {
        !self.planned.is_empty()
            && std::iter::successors(Some(path), |path| parent(path)).any(|path| self.planned.contains(path))
    }
}

impl Pruner<'_> {
    /// Removes an entry, or in a dry run lists it; false where it stays: a directory that is not empty, or what the volume
    /// does not let go.
    pub(crate) fn remove(&self, victim: &Victim<'_>, going: &mut Going<'_>) -> Result<bool, Error> {
        let Victim { dir, name, path, is_dir } = *victim;
        if self.control.dry_run {
            going.report.plan.push(format!("remove {}", shown(path)));
            going.planned.insert(path.to_vec());
            going.report.removed += 1;
            return Ok(true);
        }
        if !is_dir && !std::mem::replace(&mut going.is_noted, true) {
            self.ledger.note_pruning(self.sorted)?;
        }
        let remove = || if is_dir { dir.remove_dir(name) } else { dir.unlink(name) };
        let mut removed = remove();
        if removed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
            && let Some(mode) = open_up(dir)
        {
            // A read-only directory of our own: opened for the time of this.
            removed = remove();
            let _ = rustix::fs::fchmod(dir, Mode::from_raw_mode(mode));
        }
        match removed {
            Ok(()) => {
                going.report.removed += 1;
                going.report.changes.push(path, "removed", "not in the source");
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT) => {}
                Some(Errno::NOTEMPTY | Errno::EXIST) if is_dir => return Ok(false),
                // A mount, a snapshot, an immutable file: read-only in itself.
                Some(Errno::BUSY | Errno::ROFS | Errno::PERM | Errno::ACCESS) => {
                    going.report.remarks.push(format!("{} cannot be removed, and stays", shown(path)));
                    return Ok(false);
                }
                _ => return Err(self.roots.volume_error("remove", path, error)),
            },
        }
        Ok(true)
    }

    /// Removing an entry changed the directory's mtime: it gets the image's, if it is one of the image's.
    pub(crate) fn mend_times(&self, dir: &Dir, source: Option<&Dir>, path: &[u8]) -> Result<(), Error> {
        let Some(source) = source else { return Ok(()) };
        let stat = source.stat().map_err(|e| self.roots.source_error("stat", path, e))?;
        set_times(dir, time_of(&stat)).map_err(|e| self.roots.volume_error("complete", path, e))
    }
}
