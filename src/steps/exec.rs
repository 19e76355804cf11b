//! One exec step: runs the command under supervision with its output through the tee, its time limit and its retries,
//! and deals with processes that it leaves behind. The only file that joins `process` and `output`.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::drain::{Drain, Patience};
use super::heartbeat::with_heartbeat;
use crate::output::{Attached, Level, Tee, say};
use crate::process::{ChildStdio, Command, Ending, Limits, SpawnError, Status, Stop, Supervisor};
use crate::support::durations::shown;

/// How to run the command.
#[derive(Debug, Clone)]
pub struct Exec {
    /// The command.
    pub command: Command,
    /// Time limit of each try.
    pub timeout: Option<Duration>,
    /// Deadline of the attempt.
    pub deadline: Option<Instant>,
    /// Time from TERM to KILL.
    pub grace: Duration,
    /// How long to wait for processes that outlive the command and hold its output open.
    pub drain: Duration,
    /// Tries after the first.
    pub retries: u32,
    /// Pause before the first retry; doubles each time, up to a minute.
    pub backoff: Duration,
}

/// How the step ended.
#[derive(Debug)]
pub enum Outcome {
    /// The command ended by itself.
    Ended(Ending),
    /// The time limit of the step or of the attempt was reached.
    TimedOut {
        /// Which limit.
        limit: Limit,
        /// How the command then ended.
        ending: Ending,
    },
    /// It could not be started.
    CannotExecute(SpawnError),
    /// TERM or INT came before the command had ended by itself. `None`: before its start or between two tries.
    Stopped(Option<Ending>),
}

/// The result of the step.
#[derive(Debug)]
pub struct Ran {
    /// How its last try ended.
    pub outcome: Outcome,
    /// Tries after the first.
    pub retries: u32,
}

/// The time limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The step's `timeout`.
    Step,
    /// The attempt's.
    Attempt,
}

/// Runs the step to its end. Without a `tee` the command inherits the runner's stdout and stderr.
pub async fn run(exec: &Exec, supervisor: &mut Supervisor, tee: Option<&Tee>) -> Ran {
    let mut backoff = exec.backoff;
    let mut retries = 0;
    loop {
        if supervisor.stop_requested() {
            return Ran { outcome: Outcome::Stopped(None), retries };
        }
        let outcome = once(exec, supervisor, tee).await;
        let Some(what_happened) = worth_a_retry(&outcome) else { return Ran { outcome, retries } };
        if retries == exec.retries {
            return Ran { outcome, retries };
        }
        if supervisor.stop_requested() {
            return Ran { outcome: Outcome::Stopped(None), retries };
        }
        let (next, of) = (retries + 1, exec.retries);
        let at = Instant::now().checked_add(backoff);
        if exec.deadline.is_some_and(|deadline| at.is_none_or(|at| at >= deadline)) {
            tell(tee, &format!("{} {what_happened}; no time is left for retry {next} of {of}", name(exec)));
            return Ran { outcome, retries };
        }
        tell(tee, &format!("{} {what_happened}; retry {next} of {of} in {}", name(exec), shown(backoff)));
        let stopped = supervisor.stopped();
        let pause = async {
            tokio::select! {
                _ = stopped => {}
                () = tokio::time::sleep(backoff) => {}
            }
        };
        let what = format!("waiting before retry {next} of {of}");
        let pause = with_heartbeat(pause, &what, || Some(format!("{} {what_happened}", name(exec))));
        if supervisor.attend(pause).await.is_err() || supervisor.stop_requested() {
            return Ran { outcome: Outcome::Stopped(None), retries };
        }
        retries = next;
        backoff = backoff.saturating_mul(2).min(Duration::from_secs(60));
    }
}

/// What went wrong, if a retry may help.
fn worth_a_retry(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Ended(Ending { status: Status::Exited(0), .. })
        | Outcome::CannotExecute(_)
        | Outcome::Stopped(_)
        | Outcome::TimedOut { limit: Limit::Attempt, .. } => None,
        Outcome::TimedOut { limit: Limit::Step, .. } => Some("ran out of time".to_owned()),
        Outcome::Ended(Ending { status: Status::Exited(code), .. }) => Some(format!("exited with {code}")),
        Outcome::Ended(Ending { status: Status::Signaled(signal), .. }) => {
            Some(format!("died of signal {signal}"))
        }
    }
}

async fn once(exec: &Exec, supervisor: &mut Supervisor, tee: Option<&Tee>) -> Outcome {
    let step_end = exec.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let limit = match (step_end, exec.deadline) {
        (Some(step), Some(attempt)) if attempt <= step => Limit::Attempt,
        (None, _) => Limit::Attempt,
        _ => Limit::Step,
    };
    let deadline = if limit == Limit::Step { step_end } else { exec.deadline };
    let limits = Limits { deadline, grace: exec.grace };
    let (stdio, pipes) = match tee.map(Tee::attach).transpose() {
        Ok(None) => (ChildStdio::default(), None),
        Ok(Some(Attached { stdout, stderr, inodes, drained })) => {
            (ChildStdio { stdout: Some(stdout), stderr }, Some((inodes, drained)))
        }
        Err(error) => return Outcome::CannotExecute(SpawnError::pipes(&exec.command, error)),
    };
    let told = Cell::new(false);
    let tell_of = |stop: &Stop| {
        if !told.replace(true) {
            let (name, grace) = (name(exec), shown(exec.grace));
            tell(tee, &format!("{stop}: passed on to {name}, which has {grace} to end"));
        }
    };
    let stopped = supervisor.stopped();
    let tell_of_stop = async {
        tell_of(&stopped.await);
        std::future::pending().await
    };
    let ending = tokio::select! {
        ending = supervisor.run(&exec.command, stdio, limits) => ending,
        never = tell_of_stop => never,
    };
    let ending = match ending {
        Ok(ending) => ending,
        Err(error) => return Outcome::CannotExecute(error),
    };
    if let (true, Some(stop)) = (ending.stopped, supervisor.stop()) {
        // The command may have ended at that very moment.
        tell_of(stop);
    }
    if ending.timed_out && !ending.stopped {
        let how = if ending.killed { "TERM and, after its grace, KILL were" } else { "TERM was" };
        tell(tee, &format!("the time of {} was over: {how} sent", name(exec)));
    }
    if let (Some(tee), Some((inodes, drained))) = (tee, pipes) {
        let patience = Patience { deadline: exec.deadline, drain: exec.drain, grace: exec.grace };
        let (name, ending, inodes) = (&name(exec), &ending, &inodes);
        Drain { name, tee, patience, ending, inodes, drained }.run(supervisor).await;
    }
    supervisor.forget_group();
    match ending {
        Ending { timed_out: true, .. } => Outcome::TimedOut { limit, ending },
        Ending { stopped: true, .. } => Outcome::Stopped(Some(ending)),
        _ => Outcome::Ended(ending),
    }
}

fn tell(tee: Option<&Tee>, text: &str) {
    match tee {
        Some(tee) => tee.note(text),
        None => say(Level::Info, text),
    }
}

fn name(exec: &Exec) -> String {
    exec.command.argv.first().map(|name| name.display().to_string()).unwrap_or_default()
}
