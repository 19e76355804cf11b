//! A directory of the image, or one that several copiers go through: what its entries are compared with, where they
//! go, and what becomes of something else that the volume has under its name.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::copy::engine::{Engine, Worker};
use crate::copy::error::Error;
use crate::copy::io::path::{names_beside, shown};
use crate::copy::manifest::{Flags, Kind, Record};
use crate::copy::options::Policy;
use crate::copy::plan::entry::{Entry, Here};
use crate::copy::stage::node::Target;
use crate::copy::stage::stage_file::{beside_of, plan_parents};

/// What becomes of something on the volume that is no directory.
enum InTheWay {
    /// A link that the administrator made: the directory that it leads to serves.
    Follow,
    /// The directory takes its place.
    Replace,
    /// It stays, and the image's directory does not come.
    Leave,
    /// It stays, and the image's directory is put beside it.
    Keep,
    /// Another copier put the directory there meanwhile.
    Gone,
}

impl Engine<'_> {
    /// A directory of the image that is this copy's.
    pub(in crate::copy) fn directory(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
    ) -> Result<(), Error> {
        let Entry { name, record, volume, .. } = entry;
        let stat =
            self.source_stat(here, name).map_err(|e| self.source_error("stat", &here.child(name), e))?;
        let meta = self.permissions.wanted(&stat);
        let mut flags = Flags::default();
        let was_dir = record.is_some_and(|record| record.kind == Kind::Dir);
        // What is there keeps its metadata, and they are those of the record.
        let leaves = self.policy() == Policy::Missing && volume.is_some();
        let mut child = None;
        match self.in_the_way(worker, here, entry)? {
            None if volume.is_none() => {
                let removed = was_dir
                    && self.policy() == Policy::KeepModified
                    && !self.emptied
                    && !self.was_pruned(worker, here, name)?;
                let target = if here.node.in_place && self.is_shared(here, name) {
                    Target::Existing
                } else if removed || self.filter.is_selective() || self.request.options.dry_run {
                    Target::Lazy
                } else {
                    Target::New
                };
                // The user's doing, that the volume is not taken for a new one when nothing else of the image's is left.
                flags.kept = removed;
                let on_demand = removed || self.filter.is_selective();
                if target == Target::Lazy && !on_demand {
                    plan_parents(worker, here.node);
                    worker.report.plan.push(format!("create {}/", shown(&here.child(name))));
                }
                if target != Target::Lazy || !on_demand {
                    worker.report.changes.push(&here.child(name), "installed", "a directory of the source");
                    worker.report.dirs += 1;
                }
                let mut new = here.node.child(name, target);
                new.on_demand = on_demand;
                child = Some(new);
            }
            None | Some(InTheWay::Gone) => {
                // One that another shard, or a copy that was cut short, has just made is ours all the same.
                flags.found = match record {
                    Some(record) if was_dir => record.flags.found,
                    _ => entry.base.is_none() && !here.node.in_place && !self.intended(here.path, name),
                };
                child = Some(here.node.child(name, Target::Existing));
            }
            Some(InTheWay::Follow) => {
                flags.found = true;
                child = Some(here.node.child(name, Target::Existing));
            }
            Some(InTheWay::Leave) => return self.leave(worker, here, entry),
            Some(InTheWay::Keep) => {
                flags = Flags { kept: true, found: record.is_none(), orphan: false };
                if record.is_some_and(|record| record.flags.kept && was_dir) {
                    worker.report.kept += 1;
                } else {
                    worker.report.conflicts.push(shown(&here.child(name)));
                    let alias = self.directory_beside(here, name)?;
                    worker.report.plan.push(format!("put beside {}/", shown(&here.child(&alias))));
                    worker.report.beside.push(beside_of(&here.child(name), &here.child(&alias)));
                    // An earlier copy that was cut short may have put it there.
                    let there = here.made.map(|made| self.look(made, here, &alias)).transpose()?.flatten();
                    let target = if there.is_some_and(|stat| is_dir(&stat)) {
                        Target::Existing
                    } else {
                        self.new_target()
                    };
                    let mut aside = here.node.child(name, target);
                    aside.alias = Some(alias);
                    aside.aside = true;
                    child = Some(aside);
                }
            }
            Some(InTheWay::Replace) => {
                worker.report.plan.push(format!("replace {} by a directory", shown(&here.child(name))));
                worker.report.changes.push(&here.child(name), "replaced", "a directory of the source");
                worker.report.dirs += 1;
                child = Some(here.node.child(name, self.new_target()));
            }
        }
        if let Some(mut child) = child {
            let known = record.filter(|_| was_dir && !leaves);
            child.recorded = record
                .filter(|record| *record.name != *name.to_bytes())
                .and_then(|record| CString::new(&*record.name).ok());
            child.redated = known.is_some_and(|record| record.mtime != meta.mtime);
            child.changed = known.is_some_and(|r| (r.mode, r.uid, r.gid) != (meta.mode, meta.uid, meta.gid));
            child.unrecorded = !was_dir;
            child.xattrs = known.and_then(|record| record.xattrs);
            child.covered = entry.covered;
            self.descend(worker, here, child);
        }
        if !here.node.aside {
            let own = Record {
                flags,
                mode: meta.mode,
                uid: meta.uid,
                gid: meta.gid,
                mtime: meta.mtime,
                ..Record::directory(name.to_bytes())
            };
            match record.filter(|_| leaves && was_dir) {
                Some(r) => {
                    Record { flags, name: name.to_bytes().into(), ..r.clone() }.write(&mut worker.block)
                }
                None => own.write(&mut worker.block),
            }
        }
        Ok(())
    }

    /// Leaves what is in a directory's way. As of a file that is left, its record is neither pruning's nor, where a user
    /// changed it, the run's.
    fn leave(&self, worker: &mut Worker, here: &Here<'_>, entry: Entry<'_>) -> Result<(), Error> {
        worker.report.kept += 1;
        let noted = self.as_noted(worker, here, entry)?;
        let Some(record) = noted.as_ref().or(entry.record) else { return Ok(()) };
        let kept = !self.is_as_left(worker, here, Entry { record: Some(record), ..entry })?;
        let flags = Flags { kept, orphan: false, ..record.flags };
        self.retain(worker, here, Some(&Record { flags, ..record.clone() }))
    }

    /// A directory that is another's, but shared: the way to entries of this copy. It takes the same decisions as its
    /// owner does, before or after that one.
    pub(in crate::copy) fn pass_through(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        is_dir: bool,
        record: Option<&Record<'_>>,
    ) -> Result<(), Error> {
        if !is_dir || !self.is_shared(here, name) {
            return Ok(());
        }
        let volume = match here.made {
            Some(made) if !here.node.is_just_made() => self.look(made, here, name)?,
            _ => None,
        };
        let entry = Entry { name, record, volume: volume.as_ref(), base: None, covered: false };
        let target = match self.in_the_way(worker, here, entry)? {
            None if volume.is_none() && !here.node.in_place => Target::Lazy,
            None | Some(InTheWay::Gone | InTheWay::Follow) => Target::Existing,
            Some(InTheWay::Replace) => Target::Lazy,
            Some(InTheWay::Leave | InTheWay::Keep) => return Ok(()),
        };
        let mut child = here.node.child(name, target);
        child.others = true;
        self.descend(worker, here, child);
        Ok(())
    }

    /// `None` where the volume has nothing under the name, or a directory.
    fn in_the_way(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
    ) -> Result<Option<InTheWay>, Error> {
        let (Some(made), Some(stat)) = (here.made, entry.volume) else { return Ok(None) };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return Ok(None);
        }
        let noted = self.as_noted(worker, here, entry)?;
        let record = noted.as_ref().or(entry.record).or(entry.base);
        let Entry { name, record, .. } = Entry { record, ..entry };
        let left = self.is_as_left(worker, here, Entry { record, ..entry });
        if self.is_shared(here, name) && self.look(made, here, name)?.is_some_and(|stat| is_dir(&stat)) {
            return Ok(Some(InTheWay::Gone));
        }
        let left = left?;
        if kind == FileType::Symlink {
            // One that a copy installed is the image's, not the administrator's.
            let installed = left && record.is_some_and(|record| !record.flags.found);
            if self.request.options.follow_destination_links && !installed {
                return Ok(Some(InTheWay::Follow));
            }
            if !left {
                return Err(Error::request(format!(
                    "{}/{} is a symbolic link on the volume where the image has a directory: remove it, or \
                     follow such links with --follow-destination-links",
                    crate::copy::io::path::shown_path(&self.to),
                    shown(&here.child(name))
                )));
            }
        }
        Ok(Some(match self.policy() {
            Policy::Missing => InTheWay::Leave,
            Policy::KeepModified if !left => InTheWay::Keep,
            _ => InTheWay::Replace,
        }))
    }

    /// The name for the image's directory beside what a user has: one that neither the image has nor, but as a directory,
    /// the volume.
    fn directory_beside(&self, here: &Here<'_>, name: &CStr) -> Result<std::ffi::CString, Error> {
        for alias in names_beside(name, ".from-image") {
            if rustix::fs::statat(here.source, &*alias, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                continue;
            }
            let there = here.made.map(|made| self.look(made, here, &alias)).transpose()?.flatten();
            if there.is_none_or(|stat| is_dir(&stat)) {
                return Ok(alias);
            }
        }
        Err(self.volume_error("name the image's version of", &here.child(name), Errno::EXIST))
    }

    /// What the volume has under a name.
    pub(in crate::copy) fn look(
        &self,
        made: &OwnedFd,
        here: &Here<'_>,
        name: &CStr,
    ) -> Result<Option<Stat>, Error> {
        match rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.volume_error("stat", &here.child(name), errno)),
        }
    }
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}
