//! The copy engine: brings the content of a source directory onto a volume, run after run, release after release. It
//! knows no hooks: a request, a progress sink and a cancellation token go in, a report comes out. It reads the source
//! and writes below the destination, both through directory handles only. It also removes the manifest that version 0.1
//! left beside the log.

#![allow(clippy::similar_names)] // `state` and `stage`, `mode` and `made` are the words of this room

mod chmod;
mod commit;
mod control;
mod differs;
mod earlier;
mod error;
mod io;
mod journal;
mod lists;
mod manifest;
mod open;
mod options;
mod own_files;
mod pattern;
mod plan;
mod preflight;
mod progress;
mod prune;
mod publish;
mod report;
mod request;
mod shard;
mod stage;
mod stages;
mod state;
mod tree;
mod walk;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::support::LOG_NAME;
use crate::support::own;
use crate::support::rooted_dir::Dir;

pub use commit::seal::Ended;
pub use error::{Cause, Error};
pub use lists::{Changes, List};
pub use options::{ModeChange, Options, Owner, Policy, Prune, Shard};
pub use pattern::pattern_mistake;
pub use preflight::leads_nowhere;
#[cfg(test)]
pub(crate) use progress::Silent;
pub use progress::{Progress, Stderr};
pub use report::{Report, VerifyReport};
pub use request::{Request, owner_of};
pub use tree::kept::check_kept;
pub use tree::place::Place;

/// Whether pruning after this copy would remove everything that copies have installed: the source is empty, and no
/// other owner has copied into the destination.
pub fn empties(source: &Path, destination: &Path) -> bool {
    let is_empty = std::fs::read_dir(source).is_ok_and(|mut entries| entries.next().is_none());
    let owners = Dir::open(destination).ok().and_then(|root| state::State::open(&root).ok().flatten());
    is_empty && owners.is_none_or(|state| state.owners().is_ok_and(|owners| owners.len() < 2))
}

/// Whether copies never install a file at this path, because it is the runner's own or the filesystem's (`lost+found`).
pub fn is_reserved(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_own = |dir: Dir| own::is_own(&dir, name, rustix::fs::FileType::RegularFile);
    name == state::STATE
        || name == "lost+found"
        || name == LOG_NAME
        || path.is_file() && Dir::open(parent).and_then(is_own).unwrap_or(false)
}

/// A destination's state directory, which holds the copies' lock.
#[derive(Debug)]
pub struct Prepared {
    pub path: PathBuf,
    pub state: Dir,
    /// A sentence for each entry that was in its place.
    pub remarks: Vec<String>,
}

/// Creates the destination and its state directory.
///
/// # Errors
/// As [`copy`].
pub fn prepare(request: &Request) -> Result<Prepared, Error> {
    let places = preflight::Places::find(request)?;
    let (_, state) = places.make(request)?;
    let remarks = state.remarks(&places.destination);
    Ok(Prepared { path: places.destination.join(state::STATE), state: state.root, remarks })
}

/// Another run that is at work on the request's destination, and its process id.
pub fn run_at_work(request: &Request) -> Option<(String, u32)> {
    let root = Dir::open(preflight::Places::of_destination(request)).ok()?;
    let state = state::State::open(&root).ok()??;
    let owners = state.owners().ok()?;
    let at_work = |owner: &std::ffi::OsString| state.unfinished_run(owner).ok()?.filter(|run| run.at_work);
    let other = |run: &state::Unfinished| !run.run.starts_with(&format!("{}.", request.group));
    let run = owners.iter().filter_map(at_work).find(other)?.run;
    // `Request::run` is `RUN.ATTEMPT.PROCESS`.
    let mut parts = run.rsplitn(3, '.');
    let pid = parts.next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
    Some((parts.nth(1).unwrap_or(&run).to_owned(), pid))
}

/// Where the state directory of the request's destination is or will be.
pub fn state_of(request: &Request) -> PathBuf {
    preflight::Places::of_destination(request).join(state::STATE)
}

/// The same request for each destination inside that of `request`: a run may change what was installed there as well.
///
/// # Errors
/// As [`copy`].
pub fn inside(request: &Request) -> Result<Vec<Request>, Error> {
    let destination = preflight::Places::of_destination(request);
    let found = commit::inside::destinations_inside(&destination);
    let found = found.map_err(|e| Error::system("read the state of", &destination, e))?;
    Ok(found.into_iter().map(|destination| Request { destination, ..request.clone() }).collect())
}

/// The same request for each destination around that of `request`: a run may change what was installed from there as
/// well.
pub fn around(request: &Request) -> Vec<Request> {
    let found = commit::inside::destinations_around(&preflight::Places::of_destination(request)).into_iter();
    let around = |(destination, below)| Request { destination, below: Some(below), ..request.clone() };
    found.map(around).collect()
}

/// Whether a command of the request's run has begun.
pub fn has_begun(request: &Request) -> bool {
    commit::seal::has_begun(request)
}

/// While this lives, a run is marked as at work on a destination and may change what was installed.
#[derive(Debug)]
pub struct Run {
    _marks: Vec<std::fs::File>,
    kept: commit::kept::Kept,
}

impl Run {
    /// Records again what copies installed, if a command of the run has removed the record. Returns sentences
    /// about it.
    ///
    /// # Errors
    /// As [`copy`].
    pub fn put_back(&self) -> Result<Vec<String>, Error> {
        self.kept.put_back()
    }
}

/// Journals, before a run's first command, that the run may change what was installed in the request's destination. If
/// no [`seal`] follows, what differs then counts as the run's change, except for what differed before. The requests in
/// `copied` were carried out in this attempt. The caller holds the copies' lock.
///
/// # Errors
/// As [`copy`].
pub fn begin_run(request: &Request, copied: &[Request]) -> Result<Run, Error> {
    let destination = preflight::Places::of_destination(request);
    let same = |other: &&Request| preflight::Places::of_destination(other) == destination;
    let name = |other: &Request| manifest::file_name(&owner_of(other));
    let copied: Vec<_> = copied.iter().filter(same).map(name).collect();
    let commit::begin::Begun { marks, kept } = commit::begin::begin(&destination, request, &copied)?;
    Ok(Run { _marks: marks, kept })
}

/// Copies, or with `dry_run` only says what it would do. Returns once everything is on stable storage.
///
/// The caller holds the copies' lock; only shards copy into one destination at the same time.
///
/// # Errors
/// See [`Cause`]. Entries keep their old version unless the new one was complete.
pub fn copy(request: &Request, progress: &dyn Progress, cancel: &CancellationToken) -> Result<Report, Error> {
    let outcome = stages::copy(request, progress, cancel);
    progress.finish();
    outcome
}

/// Records how the run left each installed file. After a run that ended well, its edits are not taken for a user's;
/// after one that failed, a user's later edits are not taken for the run's. Durable on return. Costs a stat(2) per
/// file, so call it only after steps that may have edited something.
///
/// # Errors
/// As [`copy`].
pub fn seal(request: &Request, ended: Ended) -> Result<(), Error> {
    commit::seal::seal(request, ended)
}

/// Compares the volume, content included, with the manifests of its last copies.
///
/// # Errors
/// As [`copy`]; [`Cause::Config`] if there is no manifest for this destination.
pub fn verify(destination: &Path, earlier_state: Option<&Path>) -> Result<VerifyReport, Error> {
    commit::verify::verify(destination, earlier_state)
}

// A test tells a story of several releases in one function, and a table row has many columns.
#[cfg(test)]
#[allow(clippy::too_many_lines, clippy::too_many_arguments)]
mod tests;
