//! One exec step: the command under supervision, its output through the tee, its time, its retries, and what it
//! leaves behind. The only place that joins `process` and `output`.

use std::time::{Duration, Instant};

use nix::libc;

use super::heartbeat::with_heartbeat;
use crate::output::{Attached, Audience, Tee, say};
use crate::process::{
    ChildStdio, Command, Ending, Limits, SpawnError, Status, Supervisor, end_leftovers, leftovers,
};
use crate::support::durations::shown;

/// From TERM to KILL for processes that the command left behind, and from KILL until they are given up.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

/// What is left of the drain and of the grace for leftovers when the attempt's time is over.
const LATE_DRAIN: Duration = Duration::from_secs(1);
const LATE_LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// A pipe that nobody in sight holds open, and in which there has been nothing at so many looks in a row, is held by
/// somebody out of sight: a process that was given the descriptor, in another container of the pod.
const SILENT_LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(100);

/// How the command is to be run.
#[derive(Debug, Clone)]
pub struct Exec {
    /// The command.
    pub command: Command,
    /// Of each try.
    pub timeout: Option<Duration>,
    /// Of the whole attempt.
    pub deadline: Option<Instant>,
    /// From TERM to KILL.
    pub grace: Duration,
    /// How long to wait for processes that the command left behind and that hold its output.
    pub drain: Duration,
    /// Further tries after a failure.
    pub retries: u32,
    /// Before the first retry; doubled for each further one, up to a minute.
    pub backoff: Duration,
}

/// How the step ended.
#[derive(Debug)]
pub enum Outcome {
    /// The command ended by itself.
    Ended(Ending),
    /// Its time, or the attempt's, was over.
    TimedOut {
        /// The limit that was hit.
        limit: Limit,
        /// How the command ended then.
        ending: Ending,
    },
    /// It could not be started.
    CannotExecute(SpawnError),
    /// A TERM or INT came before the command had ended by itself; none: before it was started, or between two tries.
    Stopped(Option<Ending>),
}

/// What came of the step.
#[derive(Debug)]
pub struct Ran {
    /// How its last try ended.
    pub outcome: Outcome,
    /// Tries after the first.
    pub retries: u32,
}

/// Which time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The step's `timeout`.
    Step,
    /// The attempt's.
    Attempt,
}

/// Runs the step to its end. Without a `tee` the command has the runner's own stdout and stderr.
pub async fn run(exec: &Exec, supervisor: &mut Supervisor, tee: Option<&Tee>) -> Ran {
    let mut backoff = exec.backoff;
    let mut retries = 0;
    loop {
        if supervisor.stop_requested() {
            return Ran { outcome: Outcome::Stopped(None), retries };
        }
        let outcome = once(exec, supervisor, tee).await;
        let Some(what_happened) = worth_a_retry(&outcome) else { return Ran { outcome, retries } };
        if retries == exec.retries || supervisor.stop_requested() {
            return Ran { outcome, retries };
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
        let pause = with_heartbeat(pause, &what, || format!("{} {what_happened}", name(exec)));
        if supervisor.attend(pause).await.is_err() || supervisor.stop_requested() {
            return Ran { outcome, retries };
        }
        retries = next;
        backoff = backoff.saturating_mul(2).min(Duration::from_secs(60));
    }
}

/// What went wrong, where another try may go better.
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
    let stopped = supervisor.stopped();
    let tell_of_stop = async {
        let stop = stopped.await;
        tell(tee, &format!("{stop}: passed on to {}, which has {} to end", name(exec), shown(exec.grace)));
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
    if ending.timed_out && !ending.stopped {
        let how = if ending.killed { "TERM and, after its grace, KILL were" } else { "TERM was" };
        tell(tee, &format!("the time of {} was over: {how} sent", name(exec)));
    }
    if let (Some(tee), Some((inodes, drained))) = (tee, pipes) {
        drain(exec, supervisor, tee, &ending, &inodes, drained).await;
    }
    supervisor.forget_group();
    match ending {
        Ending { timed_out: true, .. } => Outcome::TimedOut { limit, ending },
        Ending { stopped: true, .. } => Outcome::Stopped(Some(ending)),
        _ => Outcome::Ended(ending),
    }
}

/// Waits until everything the command has written is through. Processes that it left and that still hold the pipe
/// get `drain`, then TERM, then KILL; the log says so. With nobody left to write, what takes long is the log or
/// stdout: that is waited for until the attempt's time is over, because nothing may be lost.
async fn drain(
    exec: &Exec,
    supervisor: &mut Supervisor,
    tee: &Tee,
    ending: &Ending,
    inodes: &[u64],
    mut drained: tokio::sync::oneshot::Receiver<()>,
) {
    let stop = supervisor.stop_token();
    let requested = supervisor.stopped();
    // A stop leaves the leftovers what it leaves a command. A second TERM while waiting: the next, harder step at once.
    let stopped = async {
        let stop = requested.await;
        let left = name(exec);
        tell(Some(tee), &format!("{stop}: what {left} left has {} to end", shown(exec.grace)));
        tokio::time::sleep(exec.grace).await;
    };
    let wait = async {
        tokio::select! {
            biased;
            _ = &mut drained => true,
            () = tokio::time::sleep(within(exec.deadline, exec.drain, LATE_DRAIN)) => false,
            () = stopped => false,
        }
    };
    if let Ok(true) = supervisor.attend(wait).await {
        return;
    }
    for (signal, verb, what) in
        [(libc::SIGTERM, "still holds", "TERM"), (libc::SIGKILL, "ignored TERM and holds", "KILL")]
    {
        let found = leftovers(ending.group, inodes);
        if found.is_empty() {
            break;
        }
        let names: Vec<String> = found.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        tell(
            Some(tee),
            &format!("{} has ended and left {names}, which {verb} its output; sending {what}", name(exec)),
        );
        end_leftovers(ending.group, &found, signal);
        let grace = within(exec.deadline, LEFTOVER_GRACE, LATE_LEFTOVER_GRACE);
        let wait = tokio::time::timeout(grace, &mut drained);
        if let Ok(Ok(_)) = supervisor.attend(wait).await {
            return;
        }
    }
    if leftovers(ending.group, inodes).is_empty() && !ending.timed_out && !supervisor.stop_requested() {
        let late = async {
            match exec.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let wait = async {
            tokio::select! {
                biased;
                _ = &mut drained => Some(true),
                () = stop.cancelled() => Some(false),
                () = late => Some(false),
                () = silence(tee) => None,
            }
        };
        match supervisor.attend(wait).await {
            Ok(Some(true)) => return,
            Ok(None) => tell(
                Some(tee),
                &format!(
                    "{} has ended, and a process that cannot be seen from here holds its output; what that still says is lost",
                    name(exec)
                ),
            ),
            _ => {}
        }
    }
    tee.detach();
}

/// Ends when the tee has had nothing to do for a while.
async fn silence(tee: &Tee) {
    let mut silent = 0;
    while silent < SILENT_LOOKS {
        tokio::time::sleep(LOOK).await;
        silent = if tee.is_idle() { silent + 1 } else { 0 };
    }
}

/// `most`, but not past the attempt's deadline by more than `late`.
fn within(deadline: Option<Instant>, most: Duration, late: Duration) -> Duration {
    deadline.map_or(most, |end| most.min(end.saturating_duration_since(Instant::now()).max(late)))
}

fn tell(tee: Option<&Tee>, text: &str) {
    match tee {
        Some(tee) => tee.note(text, Audience::Everyone),
        None => say(&format!("hook-runner: {text}\n")),
    }
}

fn name(exec: &Exec) -> String {
    exec.command.argv.first().map(|name| name.display().to_string()).unwrap_or_default()
}
