//! One copy step: waits for its turn on the destination, then runs the engine. A run's steps and the `copy` command
//! wait for the same lock, so that a hook and a starting pod never copy at the same time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::heartbeat::Heartbeat;
use crate::copy::{self, Progress, Report, Request};
use crate::hook::identity::Identity;
use crate::support::rooted_dir::Dir;
use crate::support::times;
use crate::volume::VolumeError;
use crate::volume::lock::{self, Holder, Lock, Name, Taken};

/// Pause between two tries for the lock.
const PAUSE: Duration = Duration::from_millis(50);

/// Why the copy failed.
#[derive(Debug)]
pub enum CopyFailure {
    /// It did not get its turn.
    Turn(TurnError),
    /// The copy failed.
    Copy(copy::Error),
}

/// Why the copy did not get its turn.
#[derive(Debug)]
pub enum TurnError {
    /// The lock cannot be used.
    Lock(VolumeError),
    /// Another copy held the lock all the time.
    Busy {
        /// The state directory.
        state: PathBuf,
        /// Who holds it.
        holder: Holder,
        /// Time waited.
        waited: Duration,
    },
    /// Cancelled while waiting.
    Cancelled,
}

/// Waits for the turn for at most `patience`, then copies.
pub fn copy_in_turn(
    request: &Request,
    patience: Duration,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Report, CopyFailure> {
    let copy::Prepared { path, state, remarks } = copy::prepare(request).map_err(CopyFailure::Copy)?;
    let end = Instant::now().checked_add(patience);
    let mut heartbeat = waiting_for(&path);
    loop {
        let turn = take_turn(request, (&state, &path), patience, cancel).map_err(CopyFailure::Turn)?;
        // Wait for another run's commands to end: this copy would undo their edits.
        let Some((run, pid)) = copy::run_at_work(request).filter(|_| request.steps_follow) else {
            let mut report = copy::copy(request, progress, cancel).map_err(CopyFailure::Copy)?;
            report.remarks.splice(0..0, remarks);
            return Ok(report);
        };
        drop(turn);
        if cancel.is_cancelled() {
            return Err(CopyFailure::Turn(TurnError::Cancelled));
        }
        let holder = Holder { run, pid, ..Holder::default() };
        if end.is_some_and(|end| Instant::now() >= end) {
            return Err(CopyFailure::Turn(TurnError::Busy { state: path, holder, waited: patience }));
        }
        heartbeat.beat(&format!("its lock is held by {holder}"));
        std::thread::sleep(PAUSE);
    }
}

/// Waits for the turn for at most `patience`, then journals that the run's commands may change installed files. Does
/// the same in each destination inside this one, and in those around it for what is in this one.
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
    copy::around(request).iter().chain(&with_those_inside(request)?).map(begin).collect()
}

/// Waits for the turn for at most `patience`, then records what the run left. Does the same in each destination inside
/// this one, and in those around it for what is in this one. Does nothing where the run left no state directory.
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
    let around = if copy::has_begun(request) { copy::around(request) } else { Vec::new() };
    around.iter().chain(&with_those_inside(request)?).try_for_each(seal)
}

fn with_those_inside(request: &Request) -> Result<Vec<Request>, CopyFailure> {
    let inside = copy::inside(request).map_err(CopyFailure::Copy)?;
    Ok([vec![request.clone()], inside].concat())
}

/// Waits for at most `patience` for the turn to copy into a destination. Shards of one copy share the turn.
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
    let mut heartbeat = waiting_for(path);
    loop {
        match lock::try_take(state, path, Name::Copy, shared, &holder).map_err(TurnError::Lock)? {
            Taken::Held(lock) => return Ok(Some(lock)),
            Taken::Unsupported(_) => return Ok(None),
            Taken::Busy(_) if cancel.is_cancelled() => return Err(TurnError::Cancelled),
            Taken::Busy(holder) if end.is_some_and(|end| Instant::now() >= end) => {
                return Err(TurnError::Busy { state: path.to_path_buf(), holder, waited: patience });
            }
            Taken::Busy(holder) => {
                heartbeat.beat(&format!("its lock is held by {holder}"));
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// The heartbeat while another run or copy holds the lock of a state directory.
fn waiting_for(state: &Path) -> Heartbeat {
    Heartbeat::new(format!("waiting for {}", state.display()))
}
