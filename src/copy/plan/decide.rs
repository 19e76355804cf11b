//! The three-way decision over manifest, image and volume for one file or symbolic link. Content decides (bytes, or
//! a link's target, and the type); owner, permission bits and times do not count as a user's edit, as kubelet
//! changes them on whole volumes (`fsGroup`).
//!
//! *Manifest*: `new` no record · `same` the image has what the record says · `changed` it has something else, of
//! another type perhaps. *Volume*: `absent` · `as left` as the last run left it · `image's` not as left, but with the
//! image's content · `other`.
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
//! (1) What the last run's later steps had edited, or removed, is installed afresh where steps follow this copy, so
//! that they find the image's version to work on; a copy alone leaves it. (2) Beside a run at work: nothing. The same goes for (1). (3) When the content has been read
//! and is as left: size and mtime alone do not convince when a file would be lost.
//!
//! *install*: the image's version gets the name. *adopt*: the record is brought up to date, the content is there.
//! *keep*: the user's version, or its absence, stays. *conflict*: as keep, and the image's version is put beside it as
//! `NAME.from-image`. *leave*: nothing is done and the record stays as it is.
//!
//! Two more rows, of what the table does not know by the manifest of this owner alone. *As another owner left it*: the
//! later copy has the name, so it is adopted or installed (`missing` leaves it). *Changed by a run that did not end well*
//! as the journal tells, or by this run before this copy: no user's edit, so that the image's version is installed anew (`missing` leaves it). A name that a later owner has is not decided about: it is that one's.
//!
//! What was left absent counts as `as left` while it is absent. Where the manifest has a record and the image has
//! nothing, pruning decides (see `prune`). A volume on which nothing of the manifest is left was emptied: there, no
//! absence counts as an edit.

use crate::copy::options::Policy;

/// The image against the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    New,
    Same,
    Changed,
}

/// The volume against the record, without reading content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volume {
    Absent,
    /// Absent, and left so.
    LeftAbsent,
    /// As left; `image`: and that is what the record says of the image.
    AsLeft {
        image: bool,
    },
    Differs,
    /// Not as left, or gone, and a run that did not end well may have done that.
    LeftByRun,
    /// As another owner left it.
    AnotherOwners,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Install,
    Nothing,
    Adopt,
    Keep,
    Conflict,
    Leave,
}

/// A decision, perhaps one that content has to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Do(Action),
    /// Adopt if the volume has the image's content.
    AdoptOr(Action),
    /// Install if the content is as left indeed, otherwise a conflict.
    InstallIfLeft,
}

/// What else goes on: a run at work on the volume, steps that follow this copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Around {
    pub(crate) beside_run: bool,
    pub(crate) steps_follow: bool,
}

/// The table above.
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
