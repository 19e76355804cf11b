//! Decides about one file or link: translates image, record and volume into the terms of the table in `decide`, and
//! looks the action up.

use crate::copy::error::Error;
use crate::copy::manifest::Left;
use crate::copy::options::Policy;
use crate::copy::plan::decide::{Action, Around, Decision, Image, Volume, decide};
use crate::copy::plan::in_the_way::stays_as_mount;
use crate::copy::plan::known::Known;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::version::{Incoming, Version};
use crate::copy::tree::worker::Worker;

/// An entry with its decision, and what it was decided by.
#[derive(Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) entry: Entry<'a>,
    pub(crate) incoming: Incoming<'a>,
    pub(crate) action: Action,
    pub(crate) image: Image,
    pub(crate) volume: Volume,
}

impl Judged<'_> {
    /// The action and the reason for the list of changes; `None` if nothing changes.
    pub(crate) fn told(&self) -> Option<(&'static str, &'static str)> {
        let is_new = self.entry.record.is_none();
        let is_there = self.entry.volume.is_some();
        let installed = match (self.image, self.volume) {
            (_, Volume::AnotherOwners) => "another copy had it",
            (_, Volume::Absent | Volume::LeftAbsent | Volume::Differs) if is_new => "new in the source",
            (_, Volume::Absent | Volume::LeftAbsent) => "missing on the volume",
            (Image::Same, Volume::AsLeft { .. }) | (_, Volume::LeftByRun) => "changed by a run",
            (_, Volume::AsLeft { .. }) => "changed in the source",
            (Image::Same, Volume::Differs) => "changed on the volume",
            (_, Volume::Differs) => "changed in the source and on the volume",
        };
        let kept = if is_there { "changed by the user" } else { "removed by the user" };
        let conflict = match (is_new, is_there) {
            (true, _) => "the user's, and new in the source",
            (_, true) => "changed by the user and in the source",
            (_, false) => "removed by the user, and changed in the source",
        };
        match self.action {
            Action::Install if is_there => Some(("replaced", installed)),
            Action::Install => Some(("installed", installed)),
            Action::Conflict => Some(("conflict", conflict)),
            Action::Keep => Some(("kept", kept)),
            Action::Leave | Action::Nothing | Action::Adopt => None,
        }
    }
}

impl Known<'_> {
    /// Decides about a file or link. Reads the volume's content only if the table asks for it.
    pub(crate) fn judge<'a>(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'a>,
        incoming: Incoming<'a>,
    ) -> Result<Judged<'a>, Error> {
        let version = incoming.version;
        let image = image(entry, version);
        let volume = self.volume(worker, here, entry, image)?;
        let nobodys = self.emptied || here.node.anew;
        let image = if nobodys && entry.volume.is_none() { Image::New } else { image };
        let judged = |action| Judged { entry, incoming, action, image, volume };
        let around = Around { beside_run: self.beside_run, steps_follow: self.steps_follow };
        let action = match decide(self.policy(), image, volume, around) {
            Decision::Do(action) => action,
            Decision::AdoptOr(action) => {
                let same = self.has_content(worker, here, entry, version.payload())?;
                if same { Action::Adopt } else { action }
            }
            Decision::InstallIfLeft => {
                let is_there = entry.record.is_some() && entry.volume.is_some();
                let edited = is_there && !self.is_as_left(worker, here, entry)?;
                if edited { Action::Conflict } else { Action::Install }
            }
        };
        let as_left = matches!(volume, Volume::AsLeft { .. });
        let stays = action == Action::Install
            && (stays_as_mount(worker, here, entry) || !as_left && self.stays_as_own(worker, here, entry)?);
        Ok(judged(if stays { Action::Leave } else { action }))
    }

    fn volume(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        image: Image,
    ) -> Result<Volume, Error> {
        let by_run = entry.record.is_some_and(|record| self.changed_by_run && !record.flags.kept);
        let half_done = entry.record.is_some_and(|record| record.flags.half_done && !record.flags.kept);
        let volume = match (entry.volume, entry.record) {
            // `missing` installs what is missing, whoever removed it.
            (None, _) if (by_run || half_done) && self.policy() == Policy::Missing => Volume::Absent,
            (None, Some(r)) if half_done && r.left == Left::Absent => Volume::LeftByRun,
            // The user deleted this file; no run did. Under `replace` it is reinstalled.
            (None, Some(r))
                if r.left == Left::Absent && !(r.flags.kept && self.policy() == Policy::Replace) =>
            {
                Volume::LeftAbsent
            }
            (None, _) if image == Image::Same && self.emptied => Volume::LeftAbsent,
            (None, _) if by_run => Volume::LeftByRun,
            (None, _) => Volume::Absent,
            (Some(_), Some(_)) if half_done && self.is_left(worker, here, entry)? => Volume::LeftByRun,
            (Some(_), Some(r)) if self.is_left(worker, here, entry)? => {
                Volume::AsLeft { image: r.is_left_as_image() }
            }
            (Some(_), _) if entry.base.is_some() => Volume::AnotherOwners,
            (Some(_), _) if by_run => Volume::LeftByRun,
            (Some(_), _) => Volume::Differs,
        };
        Ok(if self.emptied && volume == Volume::Absent { Volume::LeftAbsent } else { volume })
    }
}

/// The image compared with the record.
fn image(entry: Entry<'_>, version: &Version<'_>) -> Image {
    match entry.record {
        None => Image::New,
        Some(r) if r.kind == version.kind && r.content == version.content && r.xattrs == version.xattrs => {
            Image::Same
        }
        Some(_) => Image::Changed,
    }
}
