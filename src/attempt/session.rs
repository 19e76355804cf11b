//! What is open during an attempt: the volume with its lock and log, the tee, the diagnostics.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use super::context::Context;
use super::header::Plan;
use super::limits::LAST_WORDS;
use super::messages;
use super::open::{self, Opened};
use super::outcome::{Failure, Outcome};
use super::volumes::{self, Volumes};
use crate::diagnostics::{Clean, Diagnostics};
use crate::exit::Kind;
use crate::output::{self, Level, LogFile, Options, Tee};
use crate::process::Supervisor;
use crate::steps::heartbeat::with_heartbeat;
use crate::support::blocking;
use crate::support::durations::shown;
use crate::support::observed::Observed;
use crate::volume::Keep;

pub(super) struct Session {
    /// `None` if no log, no redaction and no line of the runner needs it; the command then inherits the runner's stdout.
    pub(super) tee: Option<Tee>,
    /// None with `--log none`.
    pub(super) opened: Option<Arc<Opened>>,
    /// The volumes to sync after the last step.
    pub(super) volumes: Volumes,
    /// Writes events to `runner.log` as long as it lives.
    pub(super) diagnostics: Option<Diagnostics>,
}

impl Session {
    /// Writes a line of the runner's own to the log and to stderr.
    pub(super) fn tell(&self, text: &str) {
        match &self.tee {
            Some(tee) => tee.note(text),
            None => output::say(Level::Info, text),
        }
    }
}

/// Opens volumes, lock, log, header and tee. If a stop or the deadline comes just as the volume has opened, the failure
/// goes into the outcome and the attempt is finished like any other.
pub(super) async fn open(
    context: &Context<'_>,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) -> Result<Session, Failure> {
    let volumes = open_volumes(context, supervisor).await?;
    let (opened, log) = match &context.hook.log {
        Some(_) => {
            let (opened, log) = open_volume(context, supervisor, outcome).await?;
            (Some(opened), Some(log))
        }
        None => (None, None),
    };
    let diagnostics = opened.as_ref().and_then(|opened| start_diagnostics(context, opened));
    if let Some(opened) = &opened {
        outcome.attempt = opened.started.attempt;
        outcome.log = context.hook.log.as_ref().map(|path| path.display().to_string());
        outcome.warnings.extend(opened.warnings.iter().cloned());
        let (run, log) = (&outcome.identity.run, opened.volume.log_path.display());
        tracing::info!(run, attempt = opened.started.attempt, %log, "attempt opened");
    }
    // The log now holds an attempt, which has to be ended there whatever fails.
    let tee = start_tee(context, log).unwrap_or_else(|failure| {
        outcome.fail(failure);
        None
    });
    Ok(Session { tee, opened, volumes, diagnostics })
}

async fn open_volume(
    context: &Context<'_>,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) -> Result<(Arc<Opened>, LogFile), Failure> {
    let cancel = supervisor.stop_token().child_token();
    let plan = plan(context, outcome)?;
    let waiting = plan.waiting.clone();
    let opening = open::open(plan, &cancel);
    let what = format!("opening the log {}", context.hook.log.as_deref().unwrap_or(Path::new("")).display());
    let mut opening = pin!(with_heartbeat(opening, &what, || Some(waiting.get())));
    let opened = match context.limits.droppable(supervisor, opening.as_mut()).await {
        Ok(opened) => opened,
        Err(failure) => {
            cancel.cancel();
            let last = tokio::time::timeout(LAST_WORDS, opening);
            let Ok(Ok(Ok(opened))) = supervisor.attend(last).await else { return Err(failure) };
            outcome.fail(failure);
            Ok(opened)
        }
    };
    let (opened, log) = opened.map_err(|error| messages::open(error, supervisor.stop()))?;
    Ok((Arc::new(opened), log))
}

async fn open_volumes(context: &Context<'_>, supervisor: &mut Supervisor) -> Result<Volumes, Failure> {
    let (paths, named) = (volumes::written_by(context.hook), volumes::named_by(context.hook));
    let open = blocking::run(move || Volumes::open(paths, named));
    let opened = context.limits.droppable(supervisor, open).await?.map_err(messages::fault)?;
    opened.map_err(|error| messages::sync(&error))
}

fn plan(context: &Context<'_>, outcome: &Outcome) -> Result<Plan, Failure> {
    let hook = context.hook;
    let Some(log) = hook.log.clone() else {
        return Err(Failure::new(Kind::Fault, "there is no log to open"));
    };
    let steps = hook.steps.iter().enumerate();
    let steps: Vec<String> =
        steps.map(|(at, step)| context.secrets.clean(&format!("{}. {step}", at + 1))).collect();
    let timeout = hook.timeout.map_or("none".into(), shown);
    Ok(Plan {
        waiting: Observed::default(),
        log,
        shared: hook.shard().is_some(),
        state: hook.state.clone(),
        log_mode: hook.log_mode,
        max_log: hook.output.max_log,
        lock_timeout: hook.lock_timeout,
        keep: Keep { runs: hook.keep.runs, bytes: hook.keep.bytes, days: hook.keep.days },
        identity: outcome.identity.clone(),
        rows: vec![
            ("steps", steps.join("\n")),
            ("limits", format!("timeout {timeout}, grace {}", shown(context.limits.grace))),
        ],
    })
}

/// `None` if `runner.log` cannot be opened: diagnostics never decide a result.
fn start_diagnostics(context: &Context<'_>, opened: &Opened) -> Option<Diagnostics> {
    let file = opened.diary.as_ref()?.try_clone().ok()?;
    let redactor = context.secrets.redactor.clone();
    let clean = redactor.map(|redactor| -> Clean { Box::new(move |line| redactor.redact(line)) });
    Some(Diagnostics::start(file, clean))
}

fn start_tee(context: &Context<'_>, log: Option<LogFile>) -> Result<Option<Tee>, Failure> {
    if log.is_none() && context.secrets.redactor.is_none() && !output::shares_lines() {
        return Ok(None);
    }
    let output = context.hook.output;
    let options = Options {
        log,
        split_streams: output.split_streams,
        timestamps: output.timestamps,
        annotate: output.annotate,
        redact: context.secrets.redactor.clone(),
    };
    Tee::start(options).map(Some).map_err(|error| messages::no_tee(&error))
}
