//! The copy engine: the content of a source directory goes onto a volume, run after run, release after release.
//! It knows nothing of hooks: a request, a progress sink and a cancellation token go in, a report comes out.
//! It reads the source, and writes below the destination and the state directory, through directory handles only.

#![allow(clippy::similar_names)] // `state` and `stage`, `mode` and `made` are the words of this room

mod ahead;
mod compare;
mod complete;
mod decide;
mod directory;
mod durable;
mod engine;
mod entry;
mod error;
mod filter;
mod image;
mod install;
mod intent;
mod links;
mod listing;
mod manifest;
mod metadata;
mod node;
mod notes;
mod options;
mod path;
mod places;
mod pool;
mod progress;
mod prune;
mod publish;
mod record;
mod report;
mod seal;
mod seen;
mod settle;
mod shard;
mod share;
mod space;
mod stage;
mod swap;
mod transfer;
mod walk;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

pub use error::{Cause, Error, Reached};
pub use options::{ModeChange, Options, Owner, Policy, Prune, Shard};
pub use progress::{Progress, Silent, Snapshot, Stderr};
pub use report::{List, Report, VerifyReport, human_bytes};

/// One copy.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The directory whose content is copied.
    pub source: PathBuf,
    /// The directory that the content goes into; made when missing.
    pub destination: PathBuf,
    /// The state directory (`.hook-runner`): manifests and staging. It may be outside the destination. Made when
    /// missing.
    pub state: PathBuf,
    /// Names this attempt, and no other that may run at the same time: names of staging are made from it.
    pub run: String,
    /// Names the run that several shards belong to: parts of one group make one manifest. Only for `shard`.
    pub group: String,
    /// Paths that are left alone, whatever the image has there: the preserved log, the state directory, other
    /// destinations inside this one.
    pub protect: Vec<PathBuf>,
    /// A run is at work on this volume: what differs from the manifest where the image does not is taken for its
    /// edit and left.
    pub beside_run: bool,
    /// Steps follow this copy that do their work on the image's version: what an earlier run's steps edited is
    /// installed afresh for them. Without such steps nobody would do that work again, so it stays.
    pub steps_follow: bool,
    /// How to decide and work.
    pub options: Options,
}

/// Copies; with `dry_run` only finds out what a copy would do. Blocks until everything is on stable storage.
///
/// The caller holds the volume's lock: two copies into one destination at the same time are for shards only.
///
/// # Errors
/// See [`Cause`]. What was on the volume stays as it was, but for entries that were complete already.
pub fn copy(request: &Request, progress: &dyn Progress, cancel: &CancellationToken) -> Result<Report, Error> {
    let outcome = engine::copy(request, progress, cancel);
    progress.finish();
    outcome
}

/// Records each installed file as the run left it: called when the whole run ended well, so that what its later
/// steps edited is not taken for a user's change. Durable on return. Worth its stat(2) per file only after steps
/// that may have edited something.
///
/// # Errors
/// As [`copy`].
pub fn seal(request: &Request) -> Result<(), Error> {
    seal::seal(request)
}

/// Compares the volume with the manifest of its last copy, content included.
///
/// # Errors
/// As [`copy`]; [`Cause::Config`] where there is no manifest for this destination.
pub fn verify(destination: &Path, state: &Path) -> Result<VerifyReport, Error> {
    seal::verify(destination, state)
}

#[cfg(test)]
mod tests;
