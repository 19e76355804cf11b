//! The lines of a dry run for installing entries.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType};

use crate::copy::error::Error;
use crate::copy::io::path::{names_beside, shown};
use crate::copy::options::Prune;
use crate::copy::stage::install::Place;
use crate::copy::stage::stager::Stager;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::node::Node;
use crate::copy::tree::worker::Worker;
use crate::support::rooted_dir::Dir;

impl Stager<'_> {
    /// Lists what installing an entry under a name would do.
    pub(crate) fn plan_lines(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        (entry, to): (Entry<'_>, Place),
        name: &CStr,
    ) -> Result<(), Error> {
        plan_parents(worker, here.node);
        let there = match here.made {
            // A further hard link is created as if the volume had nothing under the name.
            Some(made) if entry.volume.is_none() || to == Place::Beside => {
                self.roots.look(made, here, name)?
            }
            _ => entry.volume.copied(),
        };
        let verb = match (to, &there) {
            (Place::Beside, _) => "put beside",
            (Place::Name, Some(_)) => "replace",
            (Place::Name, None) => "create",
        };
        worker.report.plan.push(format!("{verb} {}", shown(&here.child(name))));
        if there.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory) {
            self.plan_swap(worker, here, name)?;
        }
        Ok(())
    }

    /// Lists what happens to a directory in the way, unless copies installed all of it.
    fn plan_swap(&self, worker: &mut Worker, here: &DirContext<'_>, name: &CStr) -> Result<(), Error> {
        let path = here.child(name);
        let Some(made) = here.made else { return Ok(()) };
        if self.known.installed(made, name, &path)?.is_some() {
            return Ok(());
        }
        for beside in names_beside(name, ".from-volume") {
            if self.roots.look(made, here, &beside)?.is_some() {
                continue;
            }
            let to = here.child(&beside);
            worker.report.plan.push(format!("move {} to {}", shown(&path), shown(&to)));
            let skipped = self.known.scope.filter.skips(here.path, beside.to_bytes(), true);
            if self.known.options.prune == Prune::All && !skipped {
                worker.report.plan.push(format!("remove {}", shown(&to)));
                let below =
                    entries_below(made, name).map_err(|e| self.roots.volume_error("list", &path, e))?;
                worker.report.removed += 1 + below;
            }
            break;
        }
        Ok(())
    }
}

/// Lists the directories that would be created for an entry in this one.
pub(crate) fn plan_parents(worker: &mut Worker, node: &Node) {
    node.for_unplanned(&mut |node| {
        worker.report.dirs += 1;
        let path = node.path();
        let (action, line) = if node.is_replacing() {
            ("replaced", format!("replace {} by a directory", shown(&path)))
        } else {
            ("installed", format!("create {}/", shown(&path)))
        };
        worker.report.changes.push(&path, action, "a directory of the source");
        worker.report.plan.push(line);
    });
}

/// The number of entries below a directory of the volume; 0 for anything else.
fn entries_below(made: &OwnedFd, name: &CStr) -> io::Result<u64> {
    fn count(dir: &Dir) -> io::Result<u64> {
        dir.entries()?.iter().try_fold(0, |sum, (name, kind)| match kind {
            FileType::Directory => Ok(sum + 1 + count(&dir.open_dir(name)?)?),
            _ => Ok(sum + 1),
        })
    }
    let stat = rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(0);
    }
    count(&Dir::from_fd(made.try_clone()?).open_dir(OsStr::from_bytes(name.to_bytes()))?)
}
