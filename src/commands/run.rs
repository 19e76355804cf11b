//! `run`: a hook from flags, environment and file; one attempt of it.

use std::convert::Infallible;
use std::path::Path;

use super::say::complain;
use crate::attempt::outcome::{self, Failure, Outcome};
use crate::cli;
use crate::exit::Kind;
use crate::hook::{file, layer::Layer, spec::Hook};

pub(super) fn run_hook(run: cli::Run) -> u8 {
    let termination_log = run.layer.termination_log.clone();
    attempt(termination_log.as_deref(), || {
        let file = match &run.hook {
            Some(path) => file::read(path).map_err(crate::hook::spec_error::SpecError::from),
            None => Ok(Layer::default()),
        };
        file.and_then(|file| Hook::from_layers(run.layer, file))
            .map_err(|error| Failure::new(Kind::Config, error.to_string()))
    })
}

/// One attempt of the hook that `describe` gives.
pub(super) fn attempt(
    termination_log: Option<&Path>,
    describe: impl FnOnce() -> Result<Hook, Failure>,
) -> u8 {
    // Before anything else: signals that come while the hook is read must not be lost, and no thread may
    // have been started with another mask.
    let supervisor = match crate::process::Supervisor::new() {
        Ok(supervisor) => supervisor,
        Err(error) => {
            return refuse(
                &Failure::new(Kind::Fault, format!("cannot take over the signals: {error}")),
                None,
            );
        }
    };
    let hook = match describe() {
        Ok(hook) => hook,
        Err(failure) => return refuse(&failure, termination_log),
    };
    // For the thread that ends the program, which need not be this one.
    let hook: &'static Hook = Box::leak(Box::new(hook));
    crate::attempt::run(hook, supervisor, end)
}

/// Says what came of the attempt, and exits.
fn end(hook: &Hook, outcome: &Outcome) -> Infallible {
    outcome::termination_message(outcome, hook.termination_log.as_deref());
    crate::output::say(&format!("hook-runner: {}\n", outcome.line()));
    let status = outcome.status();
    // SAFETY: a number. Runtime, memory, descriptors and threads that a hung volume holds are left to the kernel, which
    // is faster; nothing is buffered that would have to be written.
    unsafe { nix::libc::_exit(status.into()) }
}

/// A hook that is wrong, before there is an attempt: the sentence, and the same for `kubectl describe`.
fn refuse(failure: &Failure, termination_log: Option<&Path>) -> u8 {
    complain(failure);
    let identity = crate::hook::identity::Identity::from_environment(None);
    let mut outcome = Outcome::new(identity, None);
    outcome.fail(failure.clone());
    outcome::termination_message(&outcome, termination_log);
    outcome.status()
}
