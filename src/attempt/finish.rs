//! The end of an attempt: the footer, the log durable under its name, the end in the index. All of it together has one
//! time limit, so that a volume that hangs cannot hold the attempt at each of its parts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::Context;
use super::limits::LAST_WORDS;
use super::messages;
use super::open::Opened;
use super::outcome::{Failure, Outcome};
use super::session::Session;
use crate::hook::log_target::OnLogFailure;
use crate::hook::steps::Step;
use crate::output::{Cause, Closing, LogFailure, Report, Tee};
use crate::process::{Supervisor, leave_files};
use crate::support::{blocking, times};
use crate::volume::{frame, index};

/// What is left for the index after a log that hangs: it is most likely on the same volume.
const AFTER_A_HANG: Duration = Duration::from_millis(500);

/// Ends the log and enters the end. May turn success into 74; never the reverse.
pub(super) async fn finish(
    context: &Context<'_>,
    session: Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) {
    let end = Instant::now() + context.limits.patience(supervisor);
    let mut hangs = false;
    if let Some(tee) = &session.tee {
        hangs = seal(context, tee, end, supervisor, outcome).await;
    }
    log_outcome(context, outcome);
    if let Some(opened) = session.opened {
        let patience = if hangs { AFTER_A_HANG.min(left(end)) } else { left(end) };
        if let Err(failure) = enter(opened, patience, supervisor, outcome).await {
            log_failed(context, outcome, failure);
        }
    }
    if hangs {
        // Written to the same volume, most likely: ending them would wait for it once more.
        std::mem::forget(session.diagnostics);
        leave_files();
    }
}

/// Footer, fsync, syncfs. True when the log hangs.
async fn seal(
    context: &Context<'_>,
    tee: &Tee,
    end: Instant,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) -> bool {
    let so_far = hear(supervisor, tee, tee.report(left(end))).await;
    outcome.after_partial_line = so_far.stderr_mid_line;
    judge_log(context, outcome, so_far.log_failure.as_ref(), so_far.log_missed);
    let copied = context.hook.steps.iter().any(|step| matches!(step, Step::Copy { .. }));
    let closing = Closing {
        footer: frame::footer(&outcome.title(), &outcome.rows(&times::now()), false).into_bytes(),
        sync_volume: outcome.failure.is_none() && !copied,
    };
    let sealed = hear(supervisor, tee, tee.seal(closing, left(end))).await;
    if sealed.log_failure != so_far.log_failure {
        judge_log(context, outcome, sealed.log_failure.as_ref(), sealed.log_missed);
    }
    if let Some(failure) = &sealed.volume_failure {
        outcome.fail(messages::volume(outcome.log.as_deref().unwrap_or_default(), failure));
    }
    if let Some(failure) = &sealed.stdout_failure {
        outcome.warnings.push(format!("stdout was given up: {failure}"));
    }
    sealed.log_cause() == Some(Cause::Hung)
}

/// The attempt's end in the index, after the log that it speaks of is durable.
async fn enter(
    opened: Arc<Opened>,
    patience: Duration,
    supervisor: &mut Supervisor,
    outcome: &Outcome,
) -> Result<(), Failure> {
    let ended = ended(outcome);
    let work = blocking::run(move || opened.enter_end(ended));
    match tokio::time::timeout(patience, supervisor.attend(work)).await {
        Ok(Ok(Ok(Ok(())))) => Ok(()),
        Ok(Ok(Ok(Err(error)))) => Err(messages::store(&error)),
        Ok(Ok(Err(error))) => Err(messages::fault(error)),
        Ok(Err(_)) => Err(messages::stopped("while the log was sealed")),
        Err(_) => Err(messages::hung("entering the attempt's end in the index")),
    }
}

fn ended(outcome: &Outcome) -> index::Ended {
    index::Ended {
        run: outcome.identity.run.clone(),
        attempt: outcome.attempt,
        at: times::now(),
        status: outcome.status(),
        result: outcome.word().into(),
        message: outcome.failure.as_ref().map(Failure::sentence).unwrap_or_default(),
        duration_ms: outcome.duration_ms,
        files_copied: outcome.files_copied,
    }
}

/// What the tee answers, while signals are still heard: a stop leaves it a short time, a second one none.
async fn hear(supervisor: &mut Supervisor, tee: &Tee, work: impl Future<Output = Report>) -> Report {
    let stop = supervisor.stop_token();
    let hurried = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    let work = async {
        tokio::select! {
            biased;
            report = work => report,
            () = hurried => tee.give_up(),
        }
    };
    supervisor.attend(work).await.unwrap_or_else(|_| tee.give_up())
}

fn judge_log(context: &Context<'_>, outcome: &mut Outcome, failure: Option<&LogFailure>, missed: u64) {
    let Some(failure) = failure else { return };
    let hung = failure.cause == Cause::Hung;
    let failure = messages::log(outcome.log.as_deref().unwrap_or_default(), failure, missed);
    if hung && context.hook.log_failure == OnLogFailure::Fail {
        // A command that could not go on because its log did not is not what went wrong.
        outcome.overrule(failure);
    } else {
        log_failed(context, outcome, failure);
    }
}

fn log_failed(context: &Context<'_>, outcome: &mut Outcome, failure: Failure) {
    match context.hook.log_failure {
        OnLogFailure::Fail => outcome.fail(failure),
        OnLogFailure::Warn => outcome.warnings.push(failure.sentence()),
    }
}

fn log_outcome(context: &Context<'_>, outcome: &Outcome) {
    for warning in &outcome.warnings {
        tracing::warn!("{}", context.secrets.clean(warning));
    }
    tracing::info!(status = outcome.status(), "{}", outcome.title());
}

fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
}
