//! `copy` and `verify`: the copy engine alone, as an initContainer's job; and the turn to copy, which a run's copy
//! steps wait for too, so that a hook and a starting pod do not copy at the same time.

use std::io::Write;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::attempt::messages;
use crate::attempt::outcome::Failure;
use crate::cli;
use crate::copy::{self, Request};
use crate::exit::Kind;
use crate::hook::copy_step::{CopyStep, copy_options};
use crate::hook::identity::Identity;
use crate::output;
use crate::support::rooted_dir::Dir;
use crate::volume::lock::{self, Holder, Lock, Name, Taken};
use crate::volume::{LOG_NAME, STATE_DIRECTORY, Volume, now};

/// Copies and, as nothing comes after it, records the copied files as they are.
pub fn run(arguments: &cli::Copy) -> Result<(), Failure> {
    let mut options = copy_options(&arguments.options, &CopyStep::default())
        .map_err(|error| Failure::new(Kind::Config, error.to_string()))?;
    options.dry_run = arguments.dry_run;
    let destination = arguments.destination.clone();
    let state = arguments.state.clone().unwrap_or_else(|| destination.join(STATE_DIRECTORY));
    if !arguments.source.is_dir() {
        let message = format!("the source {} is not a directory", arguments.source.display());
        return Err(
            Failure::new(Kind::Config, message).advise("give the directory whose contents are to be copied")
        );
    }
    // Shards of one copy know each other by the run's id.
    let run_id = std::env::var("HOOK_RUNNER_RUN_ID").ok().filter(|id| !id.is_empty());
    let identity = Identity::from_environment(run_id.as_deref());
    let mut request = Request {
        source: arguments.source.clone(),
        run: format!("{}.{}", identity.run, std::process::id()),
        group: identity.run,
        beside_run: false,
        // An initContainer's copy at a pod's restart: the hook will not run again.
        steps_follow: false,
        protect: vec![destination.join(LOG_NAME), state.clone()],
        destination,
        state,
        options,
    };
    let cancel = CancellationToken::new();
    let label = format!("{} -> {}", request.source.display(), request.destination.display());
    let progress = copy::Stderr::new(label, output::say);
    if arguments.dry_run {
        let report = copy::copy(&request, &progress, &cancel).map_err(|error| messages::copy(&error))?;
        let mut out = std::io::stdout().lock();
        for line in &report.plan.items {
            let _ = writeln!(out, "{line}");
        }
        let _ = writeln!(out, "{}", report.summary());
        return Ok(());
    }
    let patience = arguments.lock_timeout.map_or(Duration::from_secs(60), |time| time.0);
    // A hook that is at work on the volume may be waiting for the very pod that this copy lets start.
    request.beside_run = lock::holder(&state_directory(&request)?).is_some();
    let _turn = take_turn(&request, patience, &cancel)?;
    let report = copy::copy(&request, &progress, &cancel).map_err(|error| messages::copy(&error))?;
    for warning in report.warnings() {
        eprintln!("hook-runner: {warning}");
    }
    println!("hook-runner: {}", report.summary());
    Ok(())
}

/// Waits for the turn to copy on the volume, at most `patience`. Shards of one copy share the turn.
pub(crate) fn take_turn(
    request: &Request,
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<Option<Lock>, Failure> {
    let state = state_directory(request)?;
    let shared = request.options.shard.is_some();
    let pod = Identity::from_environment(None).pod.unwrap_or_default();
    let holder = Holder { run: request.group.clone(), pod, pid: std::process::id(), since: now() };
    let end = Instant::now().checked_add(patience);
    loop {
        let taken = lock::try_take(&state, &request.state, Name::Copy, shared, &holder);
        match taken.map_err(|error| messages::store(&error))? {
            Taken::Held(lock) => return Ok(Some(lock)),
            Taken::Unsupported(_) => return Ok(None),
            Taken::Busy(_) if cancel.is_cancelled() => return Err(messages::stopped("before the copy")),
            Taken::Busy(holder) if end.is_some_and(|end| Instant::now() >= end) => {
                return Err(messages::locked(&request.state, &holder, patience));
            }
            Taken::Busy(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn state_directory(request: &Request) -> Result<Dir, Failure> {
    let default = request.destination.join(STATE_DIRECTORY);
    let given = (request.state != default).then_some(request.state.as_path());
    let log = request.destination.join(LOG_NAME);
    Volume::create(&log, given).map(|volume| volume.state).map_err(|error| messages::destination(&error))
}
