//! Waits until a command succeeds: runs it repeatedly, discarding its output, until it exits with 0 or time is over.
//! Knows the supervisor, nothing of logs.

use std::time::{Duration, Instant};

use crate::hook::exec_step::PollSpec;
use crate::process::{ChildStdio, Command, Ending, Limits, SpawnError, Status, Supervisor};
use crate::support::observed::Observed;

/// The first pause between two tries; each next is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Time limit of the last try, which starts when the time is over: a success in the last moment counts.
const LAST_TRY: Duration = Duration::from_secs(1);
/// Time from TERM to KILL for a try that ran out of time.
const GRACE: Duration = Duration::from_secs(1);

/// Why the command has not succeeded.
#[derive(Debug)]
pub enum PollError {
    /// The step's time was over; the result of the last try.
    Unmet(String),
    /// The attempt's time was over; the result of the last try.
    AttemptOver(String),
    /// The runner was stopped; the result of the last try.
    Stopped(String),
    /// It cannot be started, and a retry would not help.
    CannotExecute(SpawnError),
}

/// Runs `spec` until it succeeds. Returns the number of tries.
pub async fn until_success(
    spec: &PollSpec,
    attempt_end: Option<Instant>,
    supervisor: &mut Supervisor,
    seen: &Observed,
) -> Result<u32, PollError> {
    let own_end = Instant::now().checked_add(spec.timeout);
    let end = [own_end, attempt_end].into_iter().flatten().min();
    let is_own = own_end.is_some() && own_end == end;
    let left = || end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
    let command = Command { argv: spec.command.clone(), env: Vec::new(), workdir: None, setsid: false };
    let mut pause = FIRST_PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        let is_last = left().is_zero();
        let limit = if is_last { Instant::now().checked_add(LAST_TRY) } else { end };
        let ending = once(&command, limit, supervisor).await.map_err(PollError::CannotExecute)?;
        if supervisor.stop_requested() {
            return Err(PollError::Stopped(seen.get()));
        }
        match ending.status {
            Status::Exited(0) => return Ok(tries),
            // A try that was cut short tells less than the complete one before it.
            _ if ending.timed_out && tries > 1 => {}
            _ if ending.timed_out => seen.set("it did not end in its time"),
            Status::Exited(code) => seen.set(format!("it exited with {code}")),
            Status::Signaled(signal) => seen.set(format!("it died of signal {signal}")),
        }
        if is_last || left().is_zero() {
            return Err(over(is_own, seen));
        }
        let (stopped, pause_now) = (supervisor.stopped(), pause.min(left()));
        let rest = async {
            tokio::select! {
                _ = stopped => {}
                () = tokio::time::sleep(pause_now) => {}
            }
        };
        if supervisor.attend(rest).await.is_err() || supervisor.stop_requested() {
            return Err(PollError::Stopped(seen.get()));
        }
        if left().is_zero() && !is_own {
            return Err(over(is_own, seen));
        }
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

fn over(is_own: bool, seen: &Observed) -> PollError {
    if is_own { PollError::Unmet(seen.get()) } else { PollError::AttemptOver(seen.get()) }
}

async fn once(
    command: &Command,
    deadline: Option<Instant>,
    supervisor: &mut Supervisor,
) -> Result<Ending, SpawnError> {
    let null = || std::fs::File::options().write(true).open("/dev/null").ok().map(Into::into);
    let stdio = ChildStdio { stdout: null(), stderr: null() };
    let ending = supervisor.run(command, stdio, Limits { deadline, grace: GRACE }).await;
    supervisor.forget_group();
    ending
}
