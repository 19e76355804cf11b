//! One copy step: the turn to copy on the volume, then the engine. A run's steps and the `copy` command wait for the same
//! turn, so that a hook and a starting pod do not copy at the same time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::copy::{self, Progress, Report, Request};
use crate::hook::identity::Identity;
use crate::support::rooted_dir::Dir;
use crate::support::times;
use crate::volume::VolumeError;
use crate::volume::lock::{self, Holder, Lock, Name, Taken};

/// From one try for the lock to the next.
const PAUSE: Duration = Duration::from_millis(50);

/// Why there was no copy, or not the whole of it.
#[derive(Debug)]
pub enum CopyFailure {
    /// The turn to copy was not had.
    Turn(TurnError),
    /// The copy failed.
    Copy(copy::Error),
}

/// Why the turn to copy was not had.
#[derive(Debug)]
pub enum TurnError {
    /// The lock cannot be used.
    Lock(VolumeError),
    /// Somebody else copied all the time.
    Busy {
        /// The state directory.
        state: PathBuf,
        /// Who copies.
        holder: Holder,
        /// For how long it was waited.
        waited: Duration,
    },
    /// Cancelled while it was waited for.
    Cancelled,
}

/// Waits for the turn at most `patience`, then copies.
pub fn copy_in_turn(
    request: &Request,
    patience: Duration,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Report, CopyFailure> {
    let (path, state) = copy::prepare(request).map_err(CopyFailure::Copy)?;
    let end = Instant::now().checked_add(patience);
    loop {
        let turn = take_turn(request, (&state, &path), patience, cancel).map_err(CopyFailure::Turn)?;
        // A run's copy would undo what the commands of another one have edited: it waits for their end.
        let Some((run, pid)) = copy::run_at_work(request).filter(|_| request.steps_follow) else {
            return copy::copy(request, progress, cancel).map_err(CopyFailure::Copy);
        };
        drop(turn);
        if cancel.is_cancelled() {
            return Err(CopyFailure::Turn(TurnError::Cancelled));
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            let holder = Holder { run, pid, ..Holder::default() };
            return Err(CopyFailure::Turn(TurnError::Busy { state: path, holder, waited: patience }));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits for the turn at most `patience`, then journals that the run's commands may change what copies installed; the same in each
/// destination inside.
pub fn begin_in_turn(
    request: &Request,
    copied: &[Request],
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<copy::Run>, CopyFailure> {
    let begin = |request: &Request| {
        let path = copy::state_of(request);
        let _turn = match Dir::open(&path) {
            Ok(state) => take_turn(request, (&state, &path), patience, cancel).map_err(CopyFailure::Turn)?,
            Err(_) => None,
        };
        copy::begin_run(request, copied).map_err(CopyFailure::Copy)
    };
    with_those_inside(request)?.iter().map(begin).collect()
}

/// Waits for the turn at most `patience`, then records what the run left; the same in each destination inside. Where it left no
/// state, there is nothing to do.
pub fn seal_in_turn(
    request: &Request,
    ended: copy::Ended,
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<(), CopyFailure> {
    let seal = |request: &Request| {
        let path = copy::state_of(request);
        let Ok(state) = Dir::open(&path) else { return Ok(()) };
        let _turn = take_turn(request, (&state, &path), patience, cancel).map_err(CopyFailure::Turn)?;
        copy::seal(request, ended).map_err(CopyFailure::Copy)
    };
    with_those_inside(request)?.iter().try_for_each(seal)
}

fn with_those_inside(request: &Request) -> Result<Vec<Request>, CopyFailure> {
    let inside = copy::inside(request).map_err(CopyFailure::Copy)?;
    Ok([vec![request.clone()], inside].concat())
}

/// Waits for the turn to copy into a destination, at most `patience`. Shards of one copy share the turn.
fn take_turn(
    request: &Request,
    (state, path): (&Dir, &Path),
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<Option<Lock>, TurnError> {
    let shared = request.options.shard.is_some();
    let pod = Identity::from_environment(None).pod.unwrap_or_default();
    let holder = Holder { run: request.group.clone(), pod, pid: std::process::id(), since: times::now() };
    let end = Instant::now().checked_add(patience);
    loop {
        match lock::try_take(state, path, Name::Copy, shared, &holder).map_err(TurnError::Lock)? {
            Taken::Held(lock) => return Ok(Some(lock)),
            Taken::Unsupported(_) => return Ok(None),
            Taken::Busy(_) if cancel.is_cancelled() => return Err(TurnError::Cancelled),
            Taken::Busy(holder) if end.is_some_and(|end| Instant::now() >= end) => {
                return Err(TurnError::Busy { state: path.to_path_buf(), holder, waited: patience });
            }
            Taken::Busy(_) => std::thread::sleep(PAUSE),
        }
    }
}
