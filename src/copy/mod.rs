//! The copy engine: the content of a source directory goes onto a volume, run after run, release after release.
//! It knows nothing of hooks: a request, a progress sink and a cancellation token go in, a report comes out.
//! It reads the source, and writes below the destination and the state directory, through directory handles only.

#![allow(clippy::similar_names)] // `state` and `stage`, `mode` and `made` are the words of this room

mod chmod;
mod commit;
mod control;
mod earlier;
mod error;
mod io;
mod journal;
mod manifest;
mod open;
mod options;
mod own_files;
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
pub use options::{ModeChange, Options, Owner, Policy, Prune, Shard};
pub use plan::filter::is_pattern;
#[cfg(test)]
pub(crate) use progress::Silent;
pub use progress::{Progress, Stderr};
pub use report::{Changes, List, Report, VerifyReport};
pub use request::{Request, owner_of};
pub use tree::kept::check_kept;
pub use tree::place::Place;

/// Whether pruning after this copy would remove everything that copies have installed: the source has nothing, and nobody
/// else copied into the destination.
pub fn empties(source: &Path, destination: &Path) -> bool {
    let is_empty = std::fs::read_dir(source).is_ok_and(|mut entries| entries.next().is_none());
    let owners = Dir::open(destination).ok().and_then(|root| state::State::open(&root).ok().flatten());
    is_empty && owners.is_none_or(|state| state.owners().is_ok_and(|owners| owners.len() < 2))
}

/// Whether no copy puts a file under this path: it is the runner's own, or what the filesystem keeps in its root.
pub fn is_reserved(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_own = |dir: Dir| own::is_own(&dir, name, rustix::fs::FileType::RegularFile);
    name == state::STATE
        || name == "lost+found"
        || name == LOG_NAME
        || path.is_file() && Dir::open(parent).and_then(is_own).unwrap_or(false)
}

/// Makes the destination and the state directory in it, which the lock of the volume's copies belongs in, and answers
/// that one.
///
/// # Errors
/// As [`copy`].
pub fn prepare(request: &Request) -> Result<(PathBuf, Dir), Error> {
    let places = preflight::Places::find(request)?;
    let (_, state) = places.make(request)?;
    Ok((places.destination.join(state::STATE), state.root))
}

/// The run that is at work on the request's destination, another than the request's own, and its process.
pub fn run_at_work(request: &Request) -> Option<(String, u32)> {
    let root = Dir::open(preflight::Places::of_destination(request)).ok()?;
    let state = state::State::open(&root).ok()??;
    let owners = state.owners().ok()?;
    let at_work = |owner: &std::ffi::OsString| state.unfinished_run(owner).ok()?.filter(|run| run.at_work);
    let other = |run: &state::Unfinished| !run.run.starts_with(&format!("{}.", request.group));
    let run = owners.iter().filter_map(at_work).find(other)?.run;
    // `Request::run`: the run, its attempt, the process.
    let mut parts = run.rsplitn(3, '.');
    let pid = parts.next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
    Some((parts.nth(1).unwrap_or(&run).to_owned(), pid))
}

/// Where the state directory of the request's destination is, or will be.
pub fn state_of(request: &Request) -> PathBuf {
    preflight::Places::of_destination(request).join(state::STATE)
}

/// The same request for each destination of other copies inside that of `request`: a run that changes the one may change what was
/// installed in the others.
///
/// # Errors
/// As [`copy`].
pub fn inside(request: &Request) -> Result<Vec<Request>, Error> {
    let destination = preflight::Places::of_destination(request);
    let found = commit::inside::destinations_inside(&destination);
    let found = found.map_err(|e| Error::system("read the state of", &destination, e))?;
    Ok(found.into_iter().map(|destination| Request { destination, ..request.clone() }).collect())
}

/// A run that may change what was installed is at work as long as this lives.
#[derive(Debug)]
pub struct Run {
    _marks: Vec<std::fs::File>,
}

/// Journals that a run's steps may change what was installed in the request's destination, before one of them begins. If no
/// [`seal`] follows, what differs then is taken for the run's doing, but for what differed before. The requests `copied`
/// have been carried out in this attempt. The caller holds the lock of the volume's copies.
///
/// # Errors
/// As [`copy`].
pub fn begin_run(request: &Request, copied: &[Request]) -> Result<Run, Error> {
    let destination = preflight::Places::of_destination(request);
    let same = |other: &&Request| preflight::Places::of_destination(other) == destination;
    let name = |other: &Request| manifest::file_name(&owner_of(other));
    let copied: Vec<_> = copied.iter().filter(same).map(name).collect();
    Ok(Run { _marks: commit::begin::begin(&destination, request, &copied)? })
}

/// Copies; with `dry_run` only finds out what a copy would do. Blocks until everything is on stable storage.
///
/// The caller holds the volume's lock: two copies into one destination at the same time are for shards only.
///
/// # Errors
/// See [`Cause`]. What was on the volume stays as it was, but for entries that were complete already.
pub fn copy(request: &Request, progress: &dyn Progress, cancel: &CancellationToken) -> Result<Report, Error> {
    let outcome = stages::copy(request, progress, cancel);
    progress.finish();
    outcome
}

/// Records each installed file as the run left it: of a run that ended well, so that what its later steps edited is not taken
/// for a user's change; of one that failed, so that what users change from now on is not taken for the run's. Durable on
/// return. Worth its stat(2) per file only after steps that may have edited something.
///
/// # Errors
/// As [`copy`].
pub fn seal(request: &Request, ended: Ended) -> Result<(), Error> {
    commit::seal::seal(request, ended)
}

/// Compares the volume with the manifest of its last copy, content included.
///
/// # Errors
/// As [`copy`]; [`Cause::Config`] where there is no manifest for this destination.
pub fn verify(destination: &Path, earlier_state: Option<&Path>) -> Result<VerifyReport, Error> {
    commit::verify::verify(destination, earlier_state)
}

// A story of releases is read in one piece, and a row of a table has many columns.
#[cfg(test)]
#[allow(clippy::too_many_lines, clippy::too_many_arguments)]
mod tests;
