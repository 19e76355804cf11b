//! Describes how a command ended: by itself, by somebody else's signal, by the runner's signal after a time limit, or
//! because the runner was told to stop.

use std::time::Duration;

use super::messages::stopped_by;
use super::outcome::Failure;
use crate::exit::Kind;
use crate::process::{Ending, SpawnError, Status, Stop};
use crate::steps::exec::{Limit, Outcome};
use crate::support::durations::shown;

/// The limits of a command, for the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommandLimits {
    pub(super) step: Option<Duration>,
    pub(super) attempt: Option<Duration>,
    pub(super) grace: Duration,
}

/// The result in words if the command succeeded, else the failure.
pub(super) fn told(
    outcome: &Outcome,
    name: &str,
    limits: CommandLimits,
    stop: Option<&Stop>,
) -> Result<String, Failure> {
    let grace = shown(limits.grace);
    match outcome {
        Outcome::Ended(Ending { status: Status::Exited(0), .. }) => Ok("exited with 0".into()),
        Outcome::Ended(ending) => Err(failed_command(ending, name)),
        Outcome::TimedOut { limit, ending } => {
            let (whose, limit, flag) = match limit {
                Limit::Step => ("the step's", limits.step, "--exec-timeout"),
                Limit::Attempt => ("the attempt's", limits.attempt, "--timeout"),
            };
            let limit = shown(limit.unwrap_or_default());
            let end = end_after("TERM", ending, &grace);
            Err(Failure::new(Kind::Timeout, format!("{name} ran out of {whose} time of {limit}; {end}"))
                .advise(format!("raise {flag}, or see in its output what took so long")))
        }
        Outcome::CannotExecute(error) => Err(not_started(error)),
        Outcome::Stopped(None) => Err(stopped_by(stop, &format!("while {name} was not at work"))),
        Outcome::Stopped(Some(ending)) => {
            let end = end_after("that", ending, &grace);
            Err(stopped_by(stop, &format!("before {name} had ended by itself; {end}")))
        }
    }
}

pub(super) fn not_started(error: &SpawnError) -> Failure {
    let kind = if error.status() == 127 { Kind::NotFound } else { Kind::CannotExecute };
    Failure::new(kind, error.to_string())
}

/// A failure of the command itself, or its death by a signal that the runner did not send.
fn failed_command(ending: &Ending, name: &str) -> Failure {
    let (kind, mut message, mut advice) = match ending.status {
        Status::Exited(code) => {
            (Kind::Command(ending.status.code()), format!("{name} exited with {code}"), "its output says why")
        }
        Status::Signaled(signal) => {
            let advice = match signal {
                9 => "hook-runner did not send it; see the pod's memory limit (OOMKilled)",
                15 => "hook-runner did not send it; see who may have",
                _ => "its output says why",
            };
            let number = u8::try_from(signal).unwrap_or(0);
            (Kind::Signal(number), format!("{name} died of signal {signal}"), advice)
        }
    };
    if let Some(text) = out_of_memory(ending) {
        message = format!("{message}; {text}");
        advice = "raise the container's memory limit";
    }
    Failure::new(kind, message).advise(advice)
}

/// What the kernel's OOM killer did while the command ran.
pub(super) fn out_of_memory(ending: &Ending) -> Option<String> {
    match ending.oom_kills {
        0 => None,
        1 => Some("the kernel's OOM killer ended a process of the container meanwhile".to_owned()),
        count => Some(format!("the kernel's OOM killer ended {count} processes of the container meanwhile")),
    }
}

/// How a command ended after the runner told it to.
fn end_after(what: &str, ending: &Ending, grace: &str) -> String {
    let status = match ending.status {
        Status::Exited(code) => format!("exited with {code}"),
        Status::Signaled(signal) => format!("died of signal {signal}"),
    };
    match ending {
        Ending { stuck: true, .. } => format!("killed after {what}, its process is stuck in the kernel"),
        Ending { at_once: true, .. } => {
            format!("not ended after {what}, it was killed when a second signal to stop came")
        }
        Ending { killed: true, .. } => format!("not ended after {what} (grace {grace}), it was killed"),
        _ => format!("after {what} it {status}, within its grace of {grace}"),
    }
}
