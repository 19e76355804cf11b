//! Removes one entry; a dry run lists it. Pruning is the last stage, so that a failed copy has removed nothing, and is
//! journalled before the first removal.

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
use crate::copy::manifest::builder::Sorted;
use crate::copy::plan::known::Known;
use crate::copy::plan::scope::Scope;
use crate::copy::report::Report;
use crate::copy::tree::roots::Roots;
use crate::support::rooted_dir::Dir;

/// Blocks of the manifest that pruning changes; `None` for a removed directory.
pub(crate) type Blocks = HashMap<Box<[u8]>, Option<Vec<u8>>>;

/// What pruning changed.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    pub(crate) blocks: Blocks,
    /// A removal was journalled.
    pub(crate) is_noted: bool,
}

pub(crate) struct Pruner<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) scope: &'a Scope,
    pub(crate) known: &'a Known<'a>,
    pub(crate) control: &'a Control<'a>,
    pub(crate) ledger: &'a Ledger<'a>,
    /// The new manifest.
    pub(crate) sorted: &'a Sorted,
}

/// The state of pruning.
pub(crate) struct Going<'a> {
    /// In a dry run: what would be removed.
    planned: HashSet<Vec<u8>>,
    /// A removal was journalled.
    pub(crate) is_noted: bool,
    pub(crate) report: &'a mut Report,
}

/// An entry to be removed.
pub(crate) struct Victim<'a> {
    pub(crate) dir: &'a Dir,
    pub(crate) name: &'a OsStr,
    /// Relative to the destination.
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

    /// Whether a directory or one of its parents would be removed.
    pub(crate) fn plans_above(&self, path: &[u8]) -> bool {
        !self.planned.is_empty()
            && std::iter::successors(Some(path), |path| parent(path)).any(|path| self.planned.contains(path))
    }
}

impl Pruner<'_> {
    /// Removes an entry; a dry run lists it. False if it stays: a directory that is not empty, or an entry that the
    /// volume refuses to remove.
    pub(crate) fn remove(&self, victim: &Victim<'_>, going: &mut Going<'_>) -> Result<bool, Error> {
        let Victim { dir, name, path, is_dir } = *victim;
        if self.control.dry_run {
            going.report.plan.push(format!("remove {}", shown(path)));
            going.report.changes.push(path, "removed", "not in the source");
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
            // Our own directory is read-only: made writable for this call only.
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
                // An entry that is read-only in itself: a mount, a snapshot, an immutable file.
                Some(Errno::BUSY | Errno::ROFS | Errno::PERM | Errno::ACCESS) => {
                    going.report.remarks.push(format!("{} cannot be removed, and stays", shown(path)));
                    return Ok(false);
                }
                _ => return Err(self.roots.volume_error("remove", path, error)),
            },
        }
        Ok(true)
    }

    /// Restores a directory's mtime after a removal in it, if the image has the directory.
    pub(crate) fn mend_times(&self, dir: &Dir, source: Option<&Dir>, path: &[u8]) -> Result<(), Error> {
        let Some(source) = source else { return Ok(()) };
        let stat = source.stat().map_err(|e| self.roots.source_error("stat", path, e))?;
        set_times(dir, time_of(&stat)).map_err(|e| self.roots.volume_error("complete", path, e))
    }
}
