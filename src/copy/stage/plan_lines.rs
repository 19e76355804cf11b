//! The lines of a dry run for installing entries.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::FileType;

use crate::copy::differs::Differs;
use crate::copy::error::Error;
use crate::copy::io::path::{file_name, join, names_beside, parent, shown};
use crate::copy::options::Prune;
use crate::copy::stage::install::Place;
use crate::copy::stage::stager::Stager;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::node::Node;
use crate::copy::tree::replaced::Way;
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
            self.makes_way(here, name)?.plan(&mut worker.report);
        }
        Ok(())
    }

    /// What becomes of an entry that another type of entry replaces: nothing more if copies installed all of it, as it is
    /// removed then.
    pub(crate) fn makes_way(&self, here: &DirContext<'_>, name: &CStr) -> Result<Way, Error> {
        let (path, mut way) = (here.child(name), Way::default());
        let Some(made) = here.made else { return Ok(way) };
        if self.known.installed(made, name, &path)?.is_some() {
            return Ok(way);
        }
        for beside in names_beside(name, ".from-volume") {
            if self.roots.look(made, here, &beside)?.is_some() {
                continue;
            }
            let to = here.child(&beside);
            way.lines.push(format!("move {} to {}", shown(&path), shown(&to)));
            if self.known.options.prune == Prune::All {
                let dir =
                    Dir::from_fd(made.try_clone().map_err(|e| self.roots.volume_error("list", &path, e))?);
                let name = OsStr::from_bytes(name.to_bytes());
                let below = self.removed_with(&dir, name, &to);
                let (removed, all) = below.map_err(|e| self.roots.volume_error("list", &path, e))?;
                way.removed = removed;
                if all {
                    way.lines.push(format!("remove {}", shown(&to)));
                }
            }
            break;
        }
        Ok(way)
    }

    /// How many entries mirroring removes of one that gets the path `to`, and whether that is all of it.
    fn removed_with(&self, dir: &Dir, name: &OsStr, to: &[u8]) -> io::Result<(u64, bool)> {
        let is_dir = FileType::from_raw_mode(dir.stat_at(name)?.st_mode) == FileType::Directory;
        if self.known.scope.filter.skips(parent(to).unwrap_or_default(), file_name(to), is_dir) {
            return Ok((0, false));
        }
        let (mut removed, mut all) = (0, true);
        if is_dir {
            let below = dir.open_dir(name)?;
            for (name, _) in below.entries()? {
                let (more, whole) = self.removed_with(&below, &name, &join(to, name.as_bytes()))?;
                removed += more;
                all &= whole;
            }
        }
        Ok((removed + u64::from(all), all))
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
        let differs = Differs::of([(Differs::TYPE, node.is_replacing())]);
        worker.report.changes.push_differing(&path, (action, "a directory of the source"), differs);
        worker.report.plan.push(line);
        if let Some(parent) = &node.parent {
            parent.replaced.way(&node.name).plan(&mut worker.report);
        }
    });
}
