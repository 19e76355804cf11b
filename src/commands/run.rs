//! `run`: makes a hook from flags, environment and file, and runs one attempt of it.

use std::io;
use std::path::Path;

use super::say::{complain, warn};
use crate::attempt;
use crate::attempt::outcome::{Failure, Outcome};
use crate::attempt::{event, metrics, report_paths};
use crate::cli;
use crate::exit::Kind;
use crate::hook::{file, identity::Identity, layer::Layer, log_format::LogFormat, spec::Hook};
use crate::output::{self, Level};
use crate::process::Supervisor;
use crate::support::cause::words;
use crate::support::leave::leave;

/// Runs the hook that the command line describes.
pub(super) fn run_hook(run: cli::Run) -> u8 {
    let termination_log = run.layer.termination_log.clone();
    attempt(termination_log.as_deref(), || {
        let file = match &run.hook {
            Some(path) => file::read(path).map_err(|error| Failure::new(Kind::Config, error.to_string()))?,
            None => Layer::default(),
        };
        Hook::from_layers(run.layer, file).map_err(|error| Failure::new(Kind::Config, error.to_string()))
    })
}

/// Runs one attempt of the hook that `describe` returns, and ends the process with its status. Returns only if the hook is wrong
/// or the attempt cannot be started.
pub(super) fn attempt(
    termination_log: Option<&Path>,
    describe: impl FnOnce() -> Result<Hook, Failure>,
) -> u8 {
    // First of all: signals that come while the hook is read must not be lost, and every thread inherits the mask.
    let mut supervisor = match Supervisor::new() {
        Ok(supervisor) => supervisor,
        Err(error) => return refuse(&fault("cannot take over the signals", &error), termination_log),
    };
    let hook = match describe() {
        Ok(hook) => hook,
        Err(failure) => return refuse(&failure, termination_log),
    };
    if hook.log_format == LogFormat::Json {
        output::own_lines_as_json();
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&fault("cannot start the runtime", &error), termination_log),
    };
    let outcome = runtime.block_on(attempt::run(&hook, &mut supervisor));
    report(&outcome, report_paths::termination_log(&hook));
    if let Some(path) = report_paths::metrics_file(&hook)
        && let Err(error) = metrics::write(&outcome, path)
    {
        warn(&format!(
            "the metrics cannot be written to {}: {}; the result stands",
            path.display(),
            words(&error)
        ));
    }
    if hook.events
        && let Err(why) = runtime.block_on(event::record(&outcome))
    {
        warn(&format!("the result stands, but is not recorded as an Event: {why}"));
    }
    leave(outcome.status())
}

/// One thread is enough for signals and a few sockets.
pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}

/// Writes the outcome to the termination message and to stderr.
fn report(outcome: &Outcome, termination_log: Option<&Path>) {
    attempt::termination::write(outcome, termination_log);
    if outcome.after_partial_line {
        output::show("\n");
    }
    output::start_line();
    let level = if outcome.status() == 0 { Level::Info } else { Level::Error };
    output::say(level, &outcome.line());
}

/// Reports a failure before the attempt has begun, on stderr and in the termination message.
fn refuse(failure: &Failure, termination_log: Option<&Path>) -> u8 {
    complain(failure);
    let outcome = Outcome::new(Identity::from_environment(None)).failed(failure.clone());
    attempt::termination::write(&outcome, termination_log);
    outcome.status()
}

fn fault(what: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::Fault, format!("{what}: {}", words(error)))
}
