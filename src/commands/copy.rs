//! `copy`: a copy without a hook, for an initContainer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::json::json;
use super::run::runtime;
use super::say::{print, warn};
use super::termination;
use crate::attempt::messages;
use crate::attempt::outcome::{Failure, StepReport};
use crate::attempt::working_directory;
use crate::cli;
use crate::copy::{self, Request};
use crate::exit::Kind;
use crate::hook::copy_step::{CopyStep, check_share, copy_options};
use crate::hook::identity::Identity;
use crate::hook::preflight;
use crate::output;
use crate::process::Supervisor;
use crate::steps::copy::{CopyFailure, copy_in_turn};
use crate::support::blocking;
use crate::support::cause::words;
use crate::support::durations::milliseconds;
use crate::support::rooted_dir::Dir;
use crate::volume::lock::{self, AtWork};

/// Copies, and writes the termination message.
pub(super) fn run(arguments: cli::Copy) -> Result<(), Failure> {
    let began = Instant::now();
    let arguments = Arc::new(arguments);
    termination::with_message(arguments.termination.log.as_deref(), || {
        let result = supervised(&arguments)?;
        let step = format!("copy {} to {}", arguments.source.display(), arguments.destination.display());
        Ok(StepReport { step, result, duration_ms: milliseconds(began.elapsed()) })
    })
}

/// Copies while signals are read: a signal ends the copy between two entries.
fn supervised(arguments: &Arc<cli::Copy>) -> Result<String, Failure> {
    let fault = |error| Failure::new(Kind::Fault, format!("cannot take over the signals: {}", words(&error)));
    let mut supervisor = Supervisor::new().map_err(fault)?;
    let runtime = runtime().map_err(fault)?;
    working_directory::check([&*arguments.source, &*arguments.destination])?;
    let (arguments, stop) = (arguments.clone(), supervisor.stop_token());
    let work = blocking::run(move || copy(&arguments, &stop));
    match runtime.block_on(supervisor.attend(work)) {
        Ok(copied) => match copied.map_err(fault)? {
            Err(_) if supervisor.stop_requested() => {
                Err(messages::stopped_by(supervisor.stop(), "during the copy"))
            }
            copied => copied,
        },
        // A second signal: do not wait for a copy that hangs.
        Err(_) => Err(messages::stopped_by(supervisor.stop(), "during the copy")),
    }
}

/// Copies, or shows what would be copied. Returns the summary.
fn copy(arguments: &cli::Copy, cancel: &CancellationToken) -> Result<String, Failure> {
    let mut request = checked_request(arguments).map_err(|why| Failure::new(Kind::Config, why))?;
    let label = format!("{} -> {}", request.source.display(), request.destination.display());
    let progress = copy::Stderr::new(&label, output::show);
    if arguments.dry_run {
        let report = copy::copy(&request, &progress, cancel).map_err(|error| messages::copy(&error))?;
        report.warnings().iter().for_each(|warning| warn(warning));
        print_report(arguments, &report, &report.plan.items)?;
        return Ok(report.summary());
    }
    // A hook that holds the volume's lock may be waiting for the pod of this copy, so only the copies' lock is taken.
    let state = Dir::open(copy::state_of(&request));
    request.beside_run = state.is_ok_and(|state| lock::at_work(&state) != AtWork::No);
    let patience = arguments.lock_timeout.map_or(Duration::from_secs(60), |time| time.0);
    let copied = copy_in_turn(&request, patience, &progress, cancel);
    let report = copied.map_err(|failure| match failure {
        CopyFailure::Turn(error) => messages::turn(&error),
        CopyFailure::Copy(error) => messages::copy(&error),
    })?;
    report.warnings().iter().for_each(|warning| warn(warning));
    let changes = if arguments.changes { report.changes.lines() } else { Vec::new() };
    print_report(arguments, &report, &changes)?;
    Ok(report.summary())
}

/// The engine's request, or what is wrong with it.
fn checked_request(arguments: &cli::Copy) -> Result<Request, String> {
    let (source, destination) = (arguments.source.clone(), arguments.destination.clone());
    let mut options = copy_options(&arguments.options, &CopyStep::default()).map_err(told)?;
    options.dry_run = arguments.dry_run;
    options.listed_changes = (arguments.changes || arguments.json).then_some(usize::MAX);
    preflight::check_copy(&source, &destination, false).map_err(told)?;
    preflight::empty(&source, &destination, &options).map_err(told)?;
    // The shards of a copy share the run's id.
    let identity = Identity::from_environment(arguments.run_id.as_ref().map(|id| id.0.as_str()));
    check_share(options.shard, &identity).map_err(told)?;
    Ok(Request {
        run: format!("{}.{}", identity.run, std::process::id()),
        group: identity.run,
        // When a pod restarts, its initContainer copies again, but the hook does not run again.
        steps_follow: false,
        protect: arguments.state.iter().cloned().collect(),
        source,
        destination,
        earlier_state: arguments.state.clone(),
        options,
        ..Request::default()
    })
}

fn told(error: impl std::error::Error) -> String {
    error.to_string()
}

/// Prints `lines` and the summary, or one JSON object.
fn print_report(arguments: &cli::Copy, report: &copy::Report, lines: &[String]) -> Result<(), Failure> {
    if arguments.json {
        return print(format!("{}\n", json(report)?).as_bytes());
    }
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let name = if arguments.dry_run { "" } else { "hook-runner: " };
    print(format!("{lines}{name}{}\n", report.summary()).as_bytes())
}
