//! One file or symbolic link: the image's version, the manifest and the volume are compared, and what the table in
//! `decide` says is done and recorded.

use std::sync::atomic::Ordering;

use crate::copy::engine::{Engine, Worker};
use crate::copy::error::Error;
use crate::copy::io::path::shown;
use crate::copy::manifest::{Flags, Kind, Left, Record};
use crate::copy::options::Policy;
use crate::copy::plan::compare::{Baseline, Look, as_it_is, looks_as_left, meta_changed, seen};
use crate::copy::plan::decide::{Action, Around, Decision, Image, Volume, decide};
use crate::copy::plan::entry::{Entry, Here};
use crate::copy::plan::links::Outcome;
use crate::copy::plan::source_file::Version;
use crate::copy::stage::stage_file::{Incoming, Place};

/// What is to be done, and in view of what on the volume.
struct Verdict {
    action: Action,
    state: Volume,
}

impl Verdict {
    /// For the list of changes: what is done, and why; nothing of what stays as it is to be.
    fn told(&self, entry: Entry<'_>) -> Option<(&'static str, &'static str)> {
        let reason = match self.state {
            Volume::Absent | Volume::LeftAbsent if entry.record.is_none() => "new in the source",
            Volume::Absent | Volume::LeftAbsent => "missing on the volume",
            Volume::AsLeft { .. } => "changed in the source",
            Volume::LeftByRun => "changed by a run that failed",
            Volume::AnotherOwners => "another copy had it",
            Volume::Differs => "changed on the volume",
        };
        match self.action {
            Action::Install if entry.volume.is_none() => Some(("installed", reason)),
            Action::Install => Some(("replaced", reason)),
            Action::Conflict => Some(("conflict", "changed by the user and in the source")),
            Action::Keep => Some(("kept", "changed by the user")),
            Action::Leave | Action::Nothing | Action::Adopt => None,
        }
    }
}

impl Engine<'_> {
    /// Decides, acts and records.
    pub(in crate::copy) fn settle(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        incoming: Incoming<'_>,
    ) -> Result<Outcome, Error> {
        if entry.covered {
            let flags = entry.record.map_or(Flags::default(), |record| record.flags);
            let flags = Flags { orphan: false, ..flags };
            self.left_to_another(worker, here, entry, incoming.version)?;
            note(worker, here, &incoming.version.record(entry.name, flags, Left::AsImage));
            return Ok(Outcome::Other);
        }
        let noted = self.as_noted(worker, here, entry)?;
        let record = noted.as_ref().or(entry.record);
        let pruned =
            entry.volume.is_none() && record.is_some() && self.was_pruned(worker, here, entry.name)?;
        let entry = Entry { record: record.filter(|_| !pruned), ..entry };
        let verdict = self.judge(worker, here, entry, incoming.version)?;
        self.act(worker, here, entry, incoming, &verdict)
    }

    /// Tells what is left to a later owner, unless that one has the same.
    fn left_to_another(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        version: &Version<'_>,
    ) -> Result<(), Error> {
        let Version { kind, size, content, .. } = version;
        if !self.has_content(worker, here, entry, *kind, *size, content)? {
            let path = here.child(entry.name);
            worker.report.left_to_others.push(shown(&path));
            worker.report.changes.push(&path, "left", "a later copy has it");
        }
        Ok(())
    }

    fn judge(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        version: &Version<'_>,
    ) -> Result<Verdict, Error> {
        let Entry { record, volume, .. } = entry;
        let image = match record {
            None => Image::New,
            Some(r)
                if r.kind == version.kind && r.content == version.content && r.xattrs == version.xattrs =>
            {
                Image::Same
            }
            Some(_) => Image::Changed,
        };
        let state = match (volume, record) {
            // Of what a user had, and removed, no run left the absence; where the image wins it is the image's again.
            (None, Some(r))
                if r.left == Left::Absent && !(r.flags.kept && self.policy() == Policy::Replace) =>
            {
                Volume::LeftAbsent
            }
            (None, _) if image == Image::Same && self.emptied => Volume::LeftAbsent,
            (None, Some(r)) if self.run_failed && !r.flags.kept => Volume::LeftByRun,
            (None, _) => Volume::Absent,
            (Some(stat), Some(r)) if self.is_left(worker, here, entry, (r, stat))? => {
                Volume::AsLeft { image: r.is_left_as_image() }
            }
            (Some(_), _) if entry.base.is_some() => Volume::AnotherOwners,
            (Some(_), Some(r)) if self.run_failed && !r.flags.kept => Volume::LeftByRun,
            (Some(_), _) => Volume::Differs,
        };
        let state = if self.emptied && state == Volume::Absent { Volume::LeftAbsent } else { state };
        let image = if self.emptied && volume.is_none() { Image::New } else { image };
        let around = Around { beside_run: self.beside_run, steps_follow: self.request.steps_follow };
        let action = match decide(self.policy(), image, state, around) {
            Decision::Do(action) => action,
            Decision::AdoptOr(action) => {
                let Version { kind, size, content, .. } = version;
                if self.has_content(worker, here, entry, *kind, *size, content)? {
                    Action::Adopt
                } else {
                    action
                }
            }
            Decision::InstallIfLeft => {
                if record.is_some() && volume.is_some() && !self.is_as_left(worker, here, entry)? {
                    debug_assert!(record.is_some_and(|r| r.left != Left::Absent));
                    Action::Conflict
                } else {
                    Action::Install
                }
            }
        };
        Ok(Verdict { action, state })
    }

    /// Whether the volume has what was left: by a look, and where that does not tell, by the content.
    fn is_left(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        (record, stat): (&Record<'_>, &rustix::fs::Stat),
    ) -> Result<bool, Error> {
        let since = Baseline::of(&self.old);
        let since = if self.request.options.trust_mtime { since.trusted() } else { since };
        let look = looks_as_left(here.made, entry.name, record, stat, since)
            .map_err(|e| self.volume_error("compare", &here.child(entry.name), e))?;
        match (look, record.as_left()) {
            (Look::AsLeft, _) => Ok(true),
            (Look::Ask, Some((kind, size, _, _, content))) => {
                self.looked.store(true, Ordering::Relaxed);
                self.has_content(worker, here, entry, kind, size, content)
            }
            _ => Ok(false),
        }
    }

    fn act(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        incoming: Incoming<'_>,
        verdict: &Verdict,
    ) -> Result<Outcome, Error> {
        let Entry { name, record, .. } = entry;
        let version = incoming.version;
        let flags = record.map_or(Flags::default(), |r| r.flags);
        if let Some((action, reason)) = verdict.told(entry) {
            worker.report.changes.push(&here.child(name), action, reason);
        }
        match verdict.action {
            Action::Install => self.put(worker, here, entry, incoming),
            Action::Nothing | Action::Adopt => self.in_place(worker, here, entry, incoming, verdict),
            Action::Keep => {
                worker.report.kept += 1;
                let flags = Flags { kept: true, orphan: false, ..flags };
                note(worker, here, &version.record(name, flags, kept_left(record)));
                Ok(Outcome::Other)
            }
            Action::Conflict => {
                worker.report.kept += 1;
                worker.report.conflicts.push(shown(&here.child(name)));
                if self.install(worker, here, entry, incoming, Place::Beside)?.is_none() {
                    record.inspect(|record| note(worker, here, record));
                    return Ok(Outcome::Other);
                }
                let flags = Flags { kept: true, found: record.is_none() || flags.found, orphan: false };
                note(worker, here, &version.record(name, flags, kept_left(record)));
                Ok(Outcome::Other)
            }
            Action::Leave => {
                worker.report.kept += 1;
                if let Some(record) = record {
                    // The image has it, so that it is not pruning's; what differs stays, whoever changed it.
                    let kept = !matches!(verdict.state, Volume::AsLeft { .. });
                    let flags = Flags { kept, orphan: false, ..flags };
                    note(worker, here, &Record { flags, name: name.to_bytes().into(), ..record.clone() });
                }
                Ok(Outcome::Other)
            }
        }
    }

    /// The image's version comes to the volume.
    fn put(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        incoming: Incoming<'_>,
    ) -> Result<Outcome, Error> {
        let Some(content) = self.install(worker, here, entry, incoming, Place::Name)? else {
            // It changed each time that it was read, or cannot be made here: the manifest does not call it installed.
            entry.record.inspect(|record| note(worker, here, record));
            return Ok(Outcome::Other);
        };
        let version = Version { content, ..incoming.version.clone() };
        note(worker, here, &version.record(entry.name, Flags::default(), Left::AsImage));
        Ok(Outcome::Staged)
    }

    /// What the volume has stays, its metadata set right where they are the image's.
    fn in_place(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        incoming: Incoming<'_>,
        &Verdict { action, state }: &Verdict,
    ) -> Result<Outcome, Error> {
        let Entry { name, record, volume, .. } = entry;
        let version = incoming.version;
        let mut flags = Flags { orphan: false, ..record.map_or(Flags::default(), |r| r.flags) };
        let left = if let (Action::Nothing, Some(r)) = (action, record) {
            flags.kept &= state == Volume::Differs;
            match state {
                Volume::AsLeft { image: true } => Left::AsImage,
                Volume::AsLeft { image: false } | Volume::LeftByRun => {
                    let made = here.made;
                    let left = as_it_is(made, r, Baseline::of(&self.old), &mut worker.other);
                    left.map_err(|e| self.volume_error("compare", &here.child(name), e))?
                }
                _ => r.left.clone(),
            }
        } else {
            flags.found = match record {
                Some(r) => r.flags.found,
                None => entry.base.is_none() && !self.intended(here.path, name),
            };
            flags.kept = false;
            Left::AsImage
        };
        // What is there in place of the image's version keeps its own metadata, and its record.
        let others = action == Action::Nothing && state != (Volume::AsLeft { image: true });
        // As a run's steps left it, until steps follow again.
        let by_run = record.zip(volume).is_some_and(|(r, stat)| {
            r.left != Left::AsImage && r.as_left().is_some_and(|(.., mode, _)| mode == stat.st_mode & 0o7777)
        });
        let others = others || action == Action::Nothing && by_run && !self.request.steps_follow;
        let mend = self.policy() == Policy::Replace && !self.beside_run && !others
            || state == (Volume::AsLeft { image: true }) && record.is_some_and(|r| meta_changed(r, version));
        let left = if left == Left::AsImage && !others && !mend {
            // As the volume has it: an adopted file keeps its own times where they are not set right.
            volume.filter(|_| version.kind == Kind::File).map_or(Left::AsImage, |stat| seen(stat, version))
        } else {
            left
        };
        if !mend || !self.differs(worker, here, entry, version)? {
            worker.report.unchanged += 1;
        } else if !self.mend(worker, here, entry, incoming)? {
            return self.put(worker, here, entry, incoming);
        }
        note(worker, here, &version.record(name, flags, left));
        // Another name is linked only to what has the image's content.
        Ok(if others { Outcome::Other } else { Outcome::InPlace(volume.map(|stat| stat.st_ino)) })
    }
}

fn note(worker: &mut Worker, here: &Here<'_>, record: &Record<'_>) {
    if !here.node.aside {
        record.write(&mut worker.block);
    }
}

/// What the volume had is what it is left with.
fn kept_left(record: Option<&Record<'_>>) -> Left<'static> {
    match record.and_then(Record::as_left) {
        None => Left::Absent,
        Some((kind, size, mtime, mode, content)) => {
            Left::Other { kind, size, mtime, mode, content: content.clone().into_owned() }
        }
    }
}
