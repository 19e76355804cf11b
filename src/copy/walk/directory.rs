//! Handles a directory of the image, or one that several copiers walk through: where its entries go and what is
//! recorded.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use crate::copy::differs::Differs;
use crate::copy::error::Error;
use crate::copy::io::metadata::Meta;
use crate::copy::io::path::shown;
use crate::copy::manifest::{Flags, Kind, Record};
use crate::copy::options::Policy;
use crate::copy::plan::in_the_way::{InTheWay, is_dir};
use crate::copy::stage::install::beside_of;
use crate::copy::stage::plan_lines::plan_parents;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::node::{Node, Target};
use crate::copy::tree::replaced::Way;
use crate::copy::tree::worker::{Task, Worker};
use crate::copy::walk::context::Walk;

impl Walk<'_> {
    /// Handles a directory of the image that is this copy's.
    pub(crate) fn directory(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<(), Error> {
        let stat = self.roots.source_stat(here, entry.name)?;
        self.roots.apart(&here.child(entry.name), &stat)?;
        let meta = self.stager.permissions.wanted(&stat);
        let (child, flags) = match self.known.in_the_way(worker, here, entry)? {
            None if entry.volume.is_none() => self.new_directory(worker, here, entry)?,
            None | Some(InTheWay::Gone) => {
                // A directory that another shard or an interrupted copy has just made counts as made by copies.
                let found = match entry.record {
                    Some(record) if record.kind == Kind::Dir => record.flags.found,
                    _ => {
                        let known = entry.base.is_some() || self.known.intended(here.path, entry.name);
                        !known && !here.node.in_place
                    }
                };
                let child = here.node.child(entry.name, Target::Existing);
                (Some(child), Flags { found, ..Flags::default() })
            }
            Some(InTheWay::Follow) => {
                let child = here.node.child(entry.name, Target::Existing);
                (Some(child), Flags { found: true, ..Flags::default() })
            }
            Some(InTheWay::Leave) => return self.leave(worker, here, entry),
            Some(InTheWay::Mount) => {
                worker.report.kept += 1;
                return self.retain(worker, here, entry.record);
            }
            Some(InTheWay::Keep) => {
                let found = entry.record.is_none_or(|record| record.flags.found);
                let flags = Flags { kept: true, found, ..Flags::default() };
                (self.beside(worker, here, entry)?, flags)
            }
            Some(InTheWay::Replace) => (Some(self.replacing(worker, here, entry)?), Flags::default()),
        };
        let mut is_recorded = !here.node.beside_users;
        if let Some(child) = child {
            let mut child = self.compared(child, entry, &meta);
            if child.is_recorded_when_made() {
                is_recorded = false;
                child.instead = self.instead(worker, here, entry)?;
            }
            self.descend(worker, here, child);
        }
        if is_recorded {
            self.record_directory(worker, entry, flags, &meta);
        }
        Ok(())
    }

    /// Handles a directory that the volume does not have.
    fn new_directory(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<(Option<Node>, Flags), Error> {
        let name = entry.name;
        let was_dir = entry.record.is_some_and(|record| record.kind == Kind::Dir);
        let removed = was_dir
            && self.known.policy() == Policy::KeepModified
            && !self.known.emptied
            && !here.node.anew
            && !self.known.was_pruned(worker, here, name)?;
        let on_demand = removed || self.scope.filter.is_selective();
        let target = if here.node.in_place && self.scope.is_shared(here, name) {
            Target::Existing
        } else if on_demand || self.control.dry_run {
            Target::Lazy
        } else {
            Target::New
        };
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
        // The user removed it: keep that in the record, so that the volume is not taken for an emptied one.
        Ok((Some(new), Flags { kept: removed, ..Flags::default() }))
    }

    /// A directory that replaces something else. If only a part of the source is copied, it waits until something is
    /// put into it.
    fn replacing(&self, worker: &mut Worker, here: &DirContext<'_>, entry: Entry<'_>) -> Result<Node, Error> {
        entry.volume.inspect(|stat| here.node.replaced.add(entry.name, stat));
        let way =
            if self.control.dry_run { self.stager.makes_way(here, entry.name)? } else { Way::default() };
        let is_selective = self.scope.filter.is_selective();
        let target = if is_selective { Target::Lazy } else { self.new_target() };
        let mut new = here.node.child(entry.name, target);
        new.anew = true;
        if is_selective {
            here.node.replaced.makes_way(entry.name, way);
            new.on_demand = true;
            return Ok(new);
        }
        let path = here.child(entry.name);
        worker.report.plan.push(format!("replace {} by a directory", shown(&path)));
        way.plan(&mut worker.report);
        worker.report.changes.push_differing(&path, ("replaced", "a directory of the source"), Differs::TYPE);
        worker.report.dirs += 1;
        Ok(new)
    }

    /// The record of a file or link that stays where nothing is put into the directory which would take its place.
    fn instead(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<Option<Box<[u8]>>, Error> {
        let noted = self.known.as_noted(worker, here, entry)?;
        let Some(record) = noted.as_ref().or(entry.record) else { return Ok(None) };
        let is_left_out = self.scope.leaves_out(here, &record.name, false);
        let flags = Flags { orphan: record.flags.orphan || !is_left_out, ..record.flags };
        let mut written = Vec::new();
        Record { flags, ..record.clone() }.write(&mut written);
        Ok(Some(written.into()))
    }

    /// A directory beside the user's entry; `None` if that was reported before.
    fn beside(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<Option<Node>, Error> {
        let name = entry.name;
        if entry.record.is_some_and(|record| record.flags.kept && record.kind == Kind::Dir) {
            worker.report.kept += 1;
            return Ok(None);
        }
        worker.report.conflicts.push(here.child(name));
        let alias = self.known.directory_beside(here, name)?;
        worker.report.plan.push(format!("put beside {}/", shown(&here.child(&alias))));
        worker.report.beside.push(beside_of(&here.child(name), &here.child(&alias)));
        // An interrupted copy may have put it there.
        let there = here.made.map(|made| self.roots.look(made, here, &alias)).transpose()?.flatten();
        let target =
            if there.is_some_and(|stat| is_dir(&stat)) { Target::Existing } else { self.new_target() };
        let mut beside = here.node.child(name, target);
        beside.alias = Some(alias);
        beside.beside_users = true;
        Ok(Some(beside))
    }

    /// Compares its metadata with its record.
    fn compared(&self, mut child: Node, entry: Entry<'_>, meta: &Meta) -> Node {
        let recorded = entry.record.filter(|record| record.kind == Kind::Dir);
        let known = recorded.filter(|_| !self.leaves(entry));
        let other = entry.record.filter(|record| *record.name != *entry.name.to_bytes());
        child.recorded = other.and_then(|record| CString::new(&*record.name).ok());
        child.redated = known.is_some_and(|record| record.mtime != meta.mtime);
        child.changed = known.is_some_and(|r| (r.mode, r.uid, r.gid) != (meta.mode, meta.uid, meta.gid));
        child.unrecorded = recorded.is_none();
        child.xattrs = known.and_then(|record| record.xattrs);
        child.covered = entry.covered;
        child
    }

    /// Whether the existing directory keeps its metadata and its record.
    fn leaves(&self, entry: Entry<'_>) -> bool {
        self.known.policy() == Policy::Missing && entry.volume.is_some()
    }

    fn record_directory(&self, worker: &mut Worker, entry: Entry<'_>, flags: Flags, meta: &Meta) {
        let name = entry.name.to_bytes();
        let own = Record {
            flags,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: meta.mtime,
            ..Record::directory(name)
        };
        match entry.record.filter(|record| self.leaves(entry) && record.kind == Kind::Dir) {
            Some(r) => Record { flags, name: name.into(), ..r.clone() }.write(&mut worker.block),
            None => own.write(&mut worker.block),
        }
    }

    /// Leaves an entry that is in a directory's way. As with a file that is left, its record is not pruned, nor taken
    /// for the run's if a user changed it.
    fn leave(&self, worker: &mut Worker, here: &DirContext<'_>, entry: Entry<'_>) -> Result<(), Error> {
        worker.report.kept += 1;
        let noted = self.known.as_noted(worker, here, entry)?;
        let Some(record) = noted.as_ref().or(entry.record) else { return Ok(()) };
        let kept = !self.known.is_as_left(worker, here, Entry { record: Some(record), ..entry })?;
        let flags = Flags { kept, orphan: false, ..record.flags };
        self.retain(worker, here, Some(&Record { flags, ..record.clone() }))
    }

    /// Walks through a shared directory that is another copier's, to reach entries of this one. It decides as the
    /// directory's own copier does, whoever comes first.
    pub(crate) fn pass_through(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        name: &CStr,
        record: Option<&Record<'_>>,
    ) -> Result<(), Error> {
        if !self.scope.is_shared(here, name) {
            return Ok(());
        }
        let volume = match here.made {
            Some(made) if !here.node.is_just_made() => self.roots.look(made, here, name)?,
            _ => None,
        };
        let entry = Entry { name, record, volume: volume.as_ref(), base: None, covered: false };
        let target = match self.known.in_the_way(worker, here, entry)? {
            None if volume.is_none() && !here.node.in_place => Target::Lazy,
            None | Some(InTheWay::Gone | InTheWay::Follow) => Target::Existing,
            Some(InTheWay::Replace) => Target::Lazy,
            Some(InTheWay::Leave | InTheWay::Keep | InTheWay::Mount) => return Ok(()),
        };
        let mut child = here.node.child(name, target);
        child.finished_by_another = true;
        self.descend(worker, here, child);
        Ok(())
    }

    /// Queues the content of a directory. A piece waits until all shared directories are known.
    fn descend(&self, worker: &mut Worker, here: &DirContext<'_>, mut child: Node) {
        child.shared = !child.beside_users && self.scope.is_shared(here, &child.name);
        child.in_place = child.shared && !self.control.dry_run && child.target == Target::Existing;
        match &self.scope.shares {
            Some(shares) if here.node.shared && !child.shared => {
                self.queue.put_off(shares.weight(&here.child(&child.name)), child);
            }
            _ => worker.tasks.push(Task::Dir(Arc::new(child))),
        }
    }

    fn new_target(&self) -> Target {
        if self.control.dry_run { Target::Lazy } else { Target::New }
    }
}
