//! Carries out the decision about one file or symbolic link whose version is known: `plan` judges, then this acts and
//! records.

use crate::copy::differs::Differs;
use crate::copy::error::Error;
use crate::copy::io::path::join;
use crate::copy::manifest::{Flags, Kind, Left, Record, Time};
use crate::copy::options::Policy;
use crate::copy::plan::compare::{Baseline, as_it_is, meta_changed, seen};
use crate::copy::plan::decide::{Action, Volume};
use crate::copy::plan::judge::Judged;
use crate::copy::stage::install::Place;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::version::{Incoming, Outcome, Version};
use crate::copy::tree::worker::Worker;
use crate::copy::walk::context::Walk;

/// No file has this mtime.
const NEVER: Time = (-(1 << 40), 0);

/// The image's version of a name on which the volume has another owner's. Its size and mtime may be equal, as images are
/// often built with one mtime for all; with this one, only the content tells whether it is this one.
fn elsewhere(version: &Version<'_>) -> Left<'static> {
    let (kind, size, mode) = (version.kind, version.size, version.meta.mode);
    Left::Other { kind, size, mtime: NEVER, mode, content: version.content.clone().into_owned() }
}

impl Walk<'_> {
    pub(crate) fn settle(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        incoming: Incoming<'_>,
    ) -> Result<Outcome, Error> {
        if entry.covered {
            return self.left_to_another(worker, here, entry, incoming.version);
        }
        let noted = self.known.as_noted(worker, here, entry)?;
        let record = noted.as_ref().or(entry.record);
        let pruned =
            entry.volume.is_none() && record.is_some() && self.known.was_pruned(worker, here, entry.name)?;
        let entry = Entry { record: record.filter(|_| !pruned), ..entry };
        let judged = self.known.judge(worker, here, entry, incoming)?;
        self.act(worker, here, &judged)
    }

    /// Leaves a name to a later owner, and reports that unless both have the same.
    fn left_to_another(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        version: &Version<'_>,
    ) -> Result<Outcome, Error> {
        let is_there = self.known.has_content(worker, here, entry, version.payload())?;
        if is_there {
            worker.report.unchanged += 1;
        } else {
            let path = here.child(entry.name);
            worker.report.changes.push(&path, "left", "a later copy has it");
            worker.report.left_to_others.push(path);
        }
        let flags = entry.record.map_or(Flags::default(), |record| record.flags);
        let flags = Flags { orphan: false, ..flags };
        let left = if is_there { Left::AsImage } else { elsewhere(version) };
        note(worker, here, &version.record(entry.name, flags, left));
        Ok(Outcome::Other)
    }

    fn act(&self, worker: &mut Worker, here: &DirContext<'_>, judged: &Judged<'_>) -> Result<Outcome, Error> {
        let Judged { entry, incoming, .. } = *judged;
        let Entry { name, record, .. } = entry;
        let flags = record.map_or(Flags::default(), |r| r.flags);
        if let Some((action, reason)) = judged.told() {
            let replaced = entry.volume.filter(|_| action == "replaced");
            let differs =
                replaced.map_or(Differs::default(), |stat| self.stager.replaced(stat, incoming.version));
            worker.report.changes.push_differing(&here.child(name), (action, reason), differs);
        }
        match judged.action {
            Action::Install => self.put(worker, here, entry, incoming),
            Action::Nothing | Action::Adopt => self.in_place(worker, here, judged),
            Action::Keep => {
                worker.report.kept += 1;
                let flags = Flags { kept: true, orphan: false, half_done: false, ..flags };
                note(worker, here, &incoming.version.record(name, flags, kept_left(record)));
                Ok(Outcome::Other)
            }
            Action::Conflict => {
                worker.report.kept += 1;
                worker.report.conflicts.push(here.child(name));
                if self.stager.install(worker, here, (entry, Place::Beside), incoming)?.is_none() {
                    record.inspect(|record| note(worker, here, record));
                    return Ok(Outcome::Other);
                }
                let flags = Flags { kept: true, found: record.is_none() || flags.found, ..Flags::default() };
                note(worker, here, &incoming.version.record(name, flags, kept_left(record)));
                Ok(Outcome::Other)
            }
            Action::Leave => {
                worker.report.kept += 1;
                if let Some(record) = record {
                    // The image still has the entry, so that it is not pruned. What differs stays, whoever changed it.
                    let kept = !matches!(judged.volume, Volume::AsLeft { .. });
                    let flags = Flags { kept, orphan: false, half_done: false, left_out: false, ..flags };
                    let record = record.clone().into_owned();
                    // Its mode may differ, and is recorded as left.
                    let left = if kept { record.left.clone() } else { self.as_it_is(worker, here, &record)? };
                    note(worker, here, &Record { flags, left, name: name.to_bytes().into(), ..record });
                }
                Ok(Outcome::Other)
            }
        }
    }

    /// Installs the image's version.
    fn put(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        incoming: Incoming<'_>,
    ) -> Result<Outcome, Error> {
        let Some(content) = self.stager.install(worker, here, (entry, Place::Name), incoming)? else {
            // It kept changing, or cannot be created here: the manifest must not call it installed.
            entry.record.inspect(|record| note(worker, here, record));
            return Ok(Outcome::Other);
        };
        let version = Version { content, ..incoming.version.clone() };
        note(worker, here, &version.record(entry.name, Flags::default(), Left::AsImage));
        Ok(Outcome::Staged)
    }

    /// Keeps the volume's entry, and repairs its metadata if its content is the image's.
    fn in_place(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        judged: &Judged<'_>,
    ) -> Result<Outcome, Error> {
        let Judged { entry, incoming, .. } = *judged;
        let version = incoming.version;
        let (flags, left) = self.adopted(worker, here, judged)?;
        let as_left = judged.volume == (Volume::AsLeft { image: true });
        // What is there instead of the image's version keeps its metadata and its record.
        let others = judged.action == Action::Nothing && (!as_left || self.is_as_the_run_left(entry));
        // The later of two copies wins, also with its metadata.
        let taken_over = judged.volume == Volume::AnotherOwners;
        let mend =
            (self.known.policy() == Policy::Replace || taken_over) && !self.known.beside_run && !others
                || as_left && entry.record.is_some_and(|r| meta_changed(r, version));
        let left = if left == Left::AsImage && !others && !mend {
            // As the volume has it: an adopted file keeps its times if they are not repaired.
            let file = entry.volume.filter(|_| version.kind == Kind::File);
            file.map_or(Left::AsImage, |stat| seen(stat, version))
        } else {
            left
        };
        if !mend || !self.stager.differs(worker, here, entry, version)? {
            worker.report.unchanged += 1;
        } else if !self.stager.mend(worker, here, entry, incoming)? {
            let differing = |stat| self.stager.permissions.differing(stat, &version.meta);
            let told = ("replaced", "metadata not as in the source");
            let differs = entry.volume.map_or(Differs::default(), differing);
            worker.report.changes.push_differing(&here.child(entry.name), told, differs);
            return self.put(worker, here, entry, incoming);
        }
        note(worker, here, &version.record(entry.name, flags, left));
        // Other names are linked only to a file with the image's content.
        let is_images = as_left || judged.action == Action::Adopt;
        let inode = entry.volume.map(|stat| stat.st_ino);
        Ok(if is_images { Outcome::InPlace(inode) } else { Outcome::Other })
    }

    /// The record of an entry that stays.
    fn adopted(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        judged: &Judged<'_>,
    ) -> Result<(Flags, Left<'static>), Error> {
        let Entry { name, record, base, .. } = judged.entry;
        let mut flags = Flags { orphan: false, ..record.map_or(Flags::default(), |r| r.flags) };
        let (Action::Nothing, Some(r)) = (judged.action, record) else {
            flags.found = match record {
                Some(r) => r.flags.found,
                None => base.is_none() && !self.known.intended(here.path, name),
            };
            flags.kept = false;
            flags.half_done = false;
            return Ok((flags, Left::AsImage));
        };
        flags.kept &= matches!(judged.volume, Volume::Differs | Volume::Absent);
        let left = match judged.volume {
            Volume::AsLeft { image: true } if self.is_as_the_run_left(judged.entry) => {
                r.clone().into_owned().left
            }
            Volume::AsLeft { image: true } => Left::AsImage,
            Volume::AsLeft { image: false } | Volume::LeftByRun => self.as_it_is(worker, here, r)?,
            _ => r.clone().into_owned().left,
        };
        Ok((flags, left))
    }

    /// How the volume has a record's entry.
    fn as_it_is(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        record: &Record<'_>,
    ) -> Result<Left<'static>, Error> {
        let left = as_it_is(here.made, record, Baseline::of(&self.known.old), &mut worker.other);
        left.map_err(|e| self.roots.volume_error("compare", &join(here.path, &record.name), e))
    }

    /// Whether a run's steps have set its mode, which stays unless steps follow that expect the image's.
    fn is_as_the_run_left(&self, entry: Entry<'_>) -> bool {
        !self.known.steps_follow
            && entry.record.zip(entry.volume).is_some_and(|(record, stat)| {
                let mode = record.as_left().map(|(.., mode, _)| mode);
                record.left != Left::AsImage && mode == Some(stat.st_mode & 0o7777)
            })
    }
}

fn note(worker: &mut Worker, here: &DirContext<'_>, record: &Record<'_>) {
    if !here.node.beside_users {
        record.write(&mut worker.block);
    }
}

/// The entry is recorded as left, as it was before.
fn kept_left(record: Option<&Record<'_>>) -> Left<'static> {
    match record.and_then(Record::as_left) {
        None => Left::Absent,
        Some((kind, size, mtime, mode, content)) => {
            Left::Other { kind, size, mtime, mode, content: content.clone().into_owned() }
        }
    }
}
