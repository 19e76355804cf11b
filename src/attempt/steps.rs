//! Runs one step of the attempt: its input, its announcement, its result.

use std::time::{Duration, Instant};

use super::at_work::{begin_run, put_back};
use super::changes;
use super::command_end;
use super::context::Context;
use super::left_out;
use super::messages;
use super::outcome::{Failure, Outcome, StepReport};
use super::requests::copy_request;
use super::session::Session;
use crate::copy;
use crate::exit::Kind;
use crate::hook::exec_step::{CommandSpec, PollSpec};
use crate::hook::steps::Step;
use crate::hook::wait::Wait;
use crate::kubernetes::Follow;
use crate::output;
use crate::process::{Command, Supervisor};
use crate::steps::copy::{CopyFailure, copy_in_turn};
use crate::steps::exec::{self, Exec};
use crate::steps::follow;
use crate::steps::heartbeat::with_heartbeat;
use crate::steps::poll::{self, PollError};
use crate::steps::wait::{self, NotMet};
use crate::support::blocking;
use crate::support::cause::words;
use crate::support::durations::{milliseconds, shown};
use crate::support::observed::Observed;
use crate::volume::followed::Followed;

/// How many changes of a copy are kept beside the log; each takes about 150 bytes of memory.
const LISTED_CHANGES: usize = 20_000;
/// How long the position of a step in the log may wait for the volume.
const BORDER_PATIENCE: Duration = Duration::from_millis(500);

/// Runs `step`, named `title`, and records its result in the outcome.
pub(super) async fn run(
    (title, step): (&str, &Step),
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let began = Instant::now();
    let words = context.secrets.clean(&step.to_string());
    tracing::info!(step = words, "step begins");
    announce(context, session, &format!("{title} begins: {words}"));
    let from = written(session, supervisor).await;
    let result = if supervisor.stop_requested() {
        Err(messages::stopped_by(supervisor.stop(), "before this step"))
    } else {
        Box::pin(dispatch(step, context, session, supervisor, outcome)).await
    };
    let result = result.map_err(|failure| if outcome.steps.is_empty() { failure } else { too_late(failure) });
    let text = context.secrets.clean(result.as_ref().unwrap_or_else(|failure| &failure.message));
    let to = written(session, supervisor).await;
    // The reason for a failure is told once, at the end of the attempt.
    let end = if result.is_ok() { format!(": {text}") } else { ", failed".to_owned() };
    announce(context, session, &format!("{title} ended after {}{end}", shown(began.elapsed())));
    let report = StepReport { step: words, result: text, duration_ms: milliseconds(began.elapsed()) };
    tracing::info!(result = report.result, duration_ms = report.duration_ms, "step ended");
    outcome.steps.push(report);
    outcome.borders.push(from..to);
    result.map(drop)
}

/// Turns 78 into 74: 78 promises that nothing was changed, but earlier steps have run, and the next attempt may find
/// another state.
fn too_late(failure: Failure) -> Failure {
    match failure.kind {
        Kind::Config => Failure { kind: Kind::Io, ..failure },
        _ => failure,
    }
}

/// Bytes of output in the log, for the byte ranges of steps; 0 if the volume does not answer.
async fn written(session: &Session, supervisor: &mut Supervisor) -> u64 {
    let Some(tee) = &session.tee else { return 0 };
    supervisor.attend(tee.written(BORDER_PATIENCE)).await.ok().flatten().unwrap_or(0)
}

/// Announces a step in the log and on stderr, unless the hook is a single command: the attempt's own frame is enough
/// for that.
fn announce(context: &Context<'_>, session: &Session, text: &str) {
    let hook = context.hook;
    let single = matches!(hook.steps.as_slice(), [Step::Exec { .. } | Step::Follow(_)]);
    if single && hook.on_failure.is_empty() && hook.finally.is_empty() {
        return;
    }
    session.tell(text);
}

async fn dispatch(
    step: &Step,
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) -> Result<String, Failure> {
    match step {
        Step::Copy { from, to, options, .. } => {
            let request = copy_request(context, session, (from, to), options);
            let mut report = run_copy(request, context, session, supervisor).await?;
            let mut again = String::new();
            if !report.given_back.is_empty() {
                let done = outcome.steps.len().min(context.hook.steps.len());
                let done = &context.hook.steps[..done];
                again = copy_again(done, context, session, supervisor, outcome).await?;
                report.given_back = copy::List::default();
            }
            outcome.files_copied += report.files;
            outcome.warnings.extend(report.warnings());
            Ok(report.summary() + &again)
        }
        Step::Wait(wait) => run_wait(wait, context, supervisor).await,
        Step::Poll(spec) => run_poll(spec, context, supervisor).await,
        Step::Follow(follow) => run_follow(follow, context, session, supervisor).await,
        Step::Exec(command) => run_exec(command, context, session, supervisor, outcome).await,
    }
}

/// Repeats those copies among `steps` that have entries given back to them. Returns what they installed, in words. What
/// later steps of this run have edited stays.
async fn copy_again(
    steps: &[Step],
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) -> Result<String, Failure> {
    let may_have_edited = steps.iter().any(|step| !matches!(step, Step::Copy { .. } | Step::Wait(_)));
    let mut said = String::new();
    for step in steps {
        let Step::Copy { from, to, options, .. } = step else { continue };
        if left_out::why(step, context, session).is_some() {
            continue;
        }
        let request = copy_request(context, session, (from, to), options);
        let request = copy::Request { beside_run: may_have_edited, ..request };
        let report = run_copy(request, context, session, supervisor).await?;
        outcome.files_copied += report.files;
        if report.changed() {
            said += &format!("; {} again: {}", from.display(), report.summary());
        }
        let warnings = report.warnings().into_iter();
        let new = warnings.filter(|text| !outcome.warnings.contains(text)).collect::<Vec<_>>();
        outcome.warnings.extend(new);
    }
    Ok(said)
}

/// Copies, and keeps the list of changes.
async fn run_copy(
    mut request: copy::Request,
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
) -> Result<copy::Report, Failure> {
    let opened = session.opened.clone();
    request.options.listed_changes = opened.is_some().then_some(LISTED_CHANGES);
    let label = format!("{} -> {}", request.source.display(), request.destination.display());
    let cancel = supervisor.stop_token().child_token();
    let (patience, stop) = (context.hook.lock_timeout, cancel.clone());
    let work = blocking::run(move || {
        let progress = copy::Stderr::new(&label, output::show);
        let mut copied = copy_in_turn(&request, patience, &progress, &stop);
        let changed = match &copied {
            Ok(report) => Some(&report.changes),
            Err(CopyFailure::Copy(error)) => Some(&*error.changes),
            Err(CopyFailure::Turn(_)) => None,
        };
        let kept =
            opened.zip(changed).and_then(|(log, list)| changes::keep(&log, &request.destination, list));
        if let Ok(report) = &mut copied {
            report.remarks.extend(kept);
        }
        copied
    });
    let copied = context.limits.cancellable(supervisor, work, &cancel).await?.map_err(messages::fault)?;
    if let Ok(copy::Report { place: Some(place), .. }) = &copied {
        session.volumes.hold(place);
    }
    copied.map_err(|failure| match failure {
        _ if supervisor.stop_requested() => messages::stopped_by(supervisor.stop(), "during the copy"),
        _ if context.limits.is_over() => context.limits.timed_out("the copy was not finished"),
        CopyFailure::Turn(error) => messages::turn(&error),
        CopyFailure::Copy(error) => messages::copy(&error),
    })
}

async fn run_wait(
    wait: &Wait,
    context: &Context<'_>,
    supervisor: &mut Supervisor,
) -> Result<String, Failure> {
    let cancel = supervisor.stop_token().child_token();
    let observed = Observed::default();
    let what = context.secrets.clean(&format!("waiting for {}", wait.condition));
    // On the heap, because a client with its connection is large.
    let work = Box::pin(wait::until(wait, &cancel, &observed));
    let work = with_heartbeat(work, &what, || Some(context.secrets.clean(&observed.get())));
    let met = context.limits.cancellable(supervisor, work, &cancel).await?;
    met.map(|met| format!("met: {}", met.observation)).map_err(|error| match error {
        NotMet::Roots { .. } | NotMet::Credentials { .. } => messages::wrong_wait(&error),
        NotMet::Cancelled { .. } if supervisor.stop_requested() => {
            messages::stopped_by(supervisor.stop(), &format!("during the wait: {error}"))
        }
        NotMet::Cancelled { .. } => context.limits.timed_out(&error.to_string()),
        NotMet::TimedOut { .. } => Failure::new(Kind::WaitUnmet, error.to_string()).advise(error.advice()),
    })
}

async fn run_poll(
    spec: &PollSpec,
    context: &Context<'_>,
    supervisor: &mut Supervisor,
) -> Result<String, Failure> {
    let name = spec.command.first().map(|name| name.display().to_string()).unwrap_or_default();
    let seen = Observed::default();
    let what = context.secrets.clean(&format!("waiting until {name} succeeds"));
    let work = poll::until_success(spec, context.limits.deadline, supervisor, &seen);
    let polled = with_heartbeat(work, &what, || Some(context.secrets.clean(&seen.get()))).await;
    let unmet = |last: &str| format!("{name} did not succeed within {}: {last}", shown(spec.timeout));
    polled.map(|_| format!("met: {name} exited with 0")).map_err(|error| match error {
        PollError::Unmet(last) => Failure::new(Kind::WaitUnmet, unmet(&last))
            .advise("run the command by hand in the pod to see what it says, or raise --wait-timeout"),
        PollError::AttemptOver(last) => context.limits.timed_out(&format!("waiting for {name}: {last}")),
        PollError::Stopped(last) => {
            messages::stopped_by(supervisor.stop(), &format!("while waiting for {name}: {last}"))
        }
        PollError::CannotExecute(error) => command_end::not_started(&error),
    })
}

async fn run_exec(
    command: &CommandSpec,
    context: &Context<'_>,
    session: &Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) -> Result<String, Failure> {
    // Held until the command has ended, so that a concurrent copy sees a run at work.
    let runs = begin_run(context, session, supervisor, outcome.steps.len()).await?;
    let name = command.command.first().map(|name| name.display().to_string()).unwrap_or_default();
    let exec = Exec {
        command: Command {
            argv: command.command.clone(),
            env: command.env.clone(),
            workdir: command.workdir.clone(),
            setsid: context.hook.setsid,
        },
        timeout: command.timeout,
        deadline: context.limits.deadline,
        grace: context.limits.grace,
        drain: context.hook.drain,
        retries: command.retries,
        backoff: command.backoff,
    };
    let ran = exec::run(&exec, supervisor, session.tee.as_ref()).await;
    for said in put_back(runs, context, supervisor).await {
        session.tell(&said);
        outcome.warnings.push(said);
    }
    outcome.retries += ran.retries;
    if let exec::Outcome::Ended(ending) = &ran.outcome
        && let Some(text) = command_end::out_of_memory(ending)
    {
        outcome.warnings.push(format!("{name}: {text}"));
    }
    let limits = command_end::CommandLimits {
        step: command.timeout,
        attempt: context.hook.timeout,
        grace: context.limits.grace,
    };
    let ended = command_end::told(&ran.outcome, &name, limits, supervisor.stop());
    ended.map(|text| match ran.retries {
        0 => text,
        1 => format!("{text} after 1 retry"),
        retries => format!("{text} after {retries} retries"),
    })
}

/// A stop does not cancel it: the other container is stopped at the same time, and its last lines are worth waiting
/// for.
async fn run_follow(
    follow: &Follow,
    context: &Context<'_>,
    session: &Session,
    supervisor: &mut Supervisor,
) -> Result<String, Failure> {
    let (Some(tee), Some(opened)) = (&session.tee, &session.opened) else {
        return Err(Failure::new(Kind::Config, "a sidecar without a log has nothing to do"));
    };
    let pipe = tee.attach().map_err(|error| {
        Failure::new(Kind::Io, format!("cannot make a pipe to the tee: {}", words(&error)))
    })?;
    let cancel = supervisor.stop_token().child_token();
    let followed = Followed::of(&opened.volume).map_err(|error| messages::store(&error))?;
    let observed = Observed::default();
    let trouble = || Some(observed.get()).filter(|seen| !seen.is_empty());
    let what = format!("following container {}", follow.container);
    let work = with_heartbeat(Box::pin(follow::run(follow, pipe, followed, &observed)), &what, trouble);
    let in_time = async {
        let over = async {
            cancel.cancelled().await;
            if !context.limits.is_over() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = work => Some(ended),
            () = over => None,
        }
    };
    let ended = context.limits.cancellable(supervisor, in_time, &cancel).await;
    let seen = trouble().map_or_else(String::new, |seen| format!(": {seen}"));
    let ended =
        ended.map_err(|failure| Failure { message: format!("{}{seen}", failure.message), ..failure })?;
    let unseen = || context.limits.timed_out(&format!("container {} has not ended{seen}", follow.container));
    let ended = ended.ok_or_else(unseen)?.map_err(|error| messages::follow_step(&error))?;
    messages::followed(&follow.container, &ended)
}
