//! The three-way decision over manifest, image and volume for one file or symbolic link. Content decides: type, and
//! bytes or link target. Owner, permission bits and times do not count as a user's edit, because the kubelet changes
//! them on whole volumes (`fsGroup`).
//!
//! *Manifest*: `new` has no record · `same` the image is as recorded · `changed` the image differs from the record.
//! *Volume*: `absent` · `as left` by the last run · `image's` not as left, but with the image's content · `other`.
//!
//! | manifest | volume  | replace            | keep-modified    | missing |
//! |----------|---------|--------------------|------------------|---------|
//! | new      | absent  | install            | install          | install |
//! | new      | image's | adopt              | adopt            | leave   |
//! | new      | other   | install            | conflict         | leave   |
//! | same     | absent  | install            | keep (2)         | install |
//! | same     | as left | nothing (1)        | nothing          | leave   |
//! | same     | image's | adopt              | adopt            | leave   |
//! | same     | other   | install (2)        | keep (2)         | leave (2) |
//! | changed  | absent  | install            | conflict         | install |
//! | changed  | as left | install            | install (3)      | leave   |
//! | changed  | image's | adopt              | adopt            | leave   |
//! | changed  | other   | install            | conflict         | leave   |
//!
//! (1) If the last run's later steps edited or removed it, and steps follow this copy, it is installed again so that
//! they find the image's version; a copy alone leaves it. (2) While a run is at work on the volume: nothing. The same
//! holds for (1). (3) Only after reading the content: size and mtime alone are not enough proof where a user's file
//! could be lost.
//!
//! *install*: the image's version gets the name. *adopt*: the content is there already; the record is updated. *keep*:
//! the user's version, or its absence, stays. *conflict*: as keep, and the image's version is put beside it as
//! `NAME.from-image`. *leave*: nothing is done, and the record stays.
//!
//! Two more cases are not in the table. *As another owner left it*: the later copy has the name, so the entry is
//! adopted or installed (`missing` leaves it). *Changed by a run that did not end well*, as the journal tells, or by
//! this run before this copy: no user's edit, so the image's version is installed again (`missing` leaves it). A name
//! that a later owner has is not decided here but by that owner's copy.
//!
//! An entry that was left absent counts as `as left` while it is absent. If the manifest has a record and the image has
//! no entry, pruning decides (see `prune`). On a volume that was emptied, with nothing of the manifest left, no absence
//! counts as an edit.

use crate::copy::options::Policy;

/// The image compared with the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    New,
    Same,
    Changed,
}

/// The volume compared with the record, without reading content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volume {
    Absent,
    /// It is absent, and was left so.
    LeftAbsent,
    /// It is as left; `image`: which is the image's version.
    AsLeft {
        image: bool,
    },
    Differs,
    /// It differs or is gone, and a run that did not end well may have done that.
    LeftByRun,
    /// As another owner left it.
    AnotherOwners,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Install,
    Nothing,
    Adopt,
    Keep,
    Conflict,
    Leave,
}

/// A decision, which may depend on content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Do(Action),
    /// Adopt if the volume has the image's content, otherwise this action.
    AdoptOr(Action),
    /// Install if the content is as left, otherwise a conflict.
    InstallIfLeft,
}

/// What happens around this copy: a run at work on the volume, steps that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Around {
    pub(crate) beside_run: bool,
    pub(crate) steps_follow: bool,
}

/// Implements the table above.
#[allow(clippy::match_same_arms)] // row by row, as the table has them
pub(crate) fn decide(policy: Policy, image: Image, volume: Volume, around: Around) -> Decision {
    use Action::{Conflict, Install, Keep, Leave, Nothing};
    use Decision::{AdoptOr, Do, InstallIfLeft};
    match (policy, image, volume) {
        (Policy::Missing, Image::Same, Volume::Differs) if around.beside_run => Do(Nothing),
        (Policy::KeepModified, Image::Same, Volume::Absent | Volume::Differs) if around.beside_run => {
            Do(Nothing)
        }
        (Policy::Missing, _, Volume::Absent | Volume::LeftAbsent) => Do(Install),
        (Policy::Missing, ..) => Do(Leave),

        (_, _, Volume::AnotherOwners) => AdoptOr(Install),
        (_, _, Volume::LeftByRun) => AdoptOr(Install),

        (_, Image::Same, Volume::AsLeft { image: true }) => Do(Nothing),
        (Policy::Replace, Image::Same, Volume::AsLeft { .. } | Volume::LeftAbsent | Volume::Differs)
            if around.beside_run =>
        {
            Do(Nothing)
        }
        (Policy::Replace, Image::Same, Volume::AsLeft { .. } | Volume::LeftAbsent)
            if !around.steps_follow =>
        {
            Do(Nothing)
        }
        (Policy::Replace, _, Volume::Differs) => AdoptOr(Install),
        (Policy::Replace, ..) => Do(Install),

        (Policy::KeepModified, Image::New, Volume::Absent | Volume::LeftAbsent) => Do(Install),
        (Policy::KeepModified, Image::New, _) => AdoptOr(Conflict),
        (Policy::KeepModified, Image::Same, Volume::AsLeft { .. } | Volume::LeftAbsent) => Do(Nothing),
        (Policy::KeepModified, Image::Same, Volume::Absent) => Do(Keep),
        (Policy::KeepModified, Image::Same, Volume::Differs) => AdoptOr(Keep),
        (Policy::KeepModified, Image::Changed, Volume::LeftAbsent) => Do(Install),
        (Policy::KeepModified, Image::Changed, Volume::Absent) => Do(Conflict),
        (Policy::KeepModified, Image::Changed, Volume::AsLeft { .. }) => InstallIfLeft,
        (Policy::KeepModified, Image::Changed, Volume::Differs) => AdoptOr(Conflict),
    }
}
