//! Finishes an attempt: ends the output, closes the log (`close.rs`), and enters the end in the index. All parts share
//! one time limit, so that a hung volume cannot delay each of them.

use std::time::Instant;

use super::close::{Closing, Footer, log_failed};
use super::context::Context;
use super::in_time::{hurried, left, on_volume};
use super::limits::AFTER_A_HANG;
use super::messages;
use super::open::Opened;
use super::outcome::{Failure, Outcome};
use super::session::Session;
use crate::hook::log_target::OnLogFailure;
use crate::output::{Level, LogFailure, Report, say};
use crate::process::{Supervisor, leave_files};
use crate::support::cause::Cause;
use crate::support::mutex;
use crate::volume::record::{Ended, Line, Written};
use crate::volume::{History, Volume, VolumeError};

/// Finishes the log and enters the end in the index. May turn success into 74, never the reverse.
pub(super) async fn finish(
    context: &Context<'_>,
    session: Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) {
    let end = Instant::now() + context.limits.patience(supervisor);
    let mut hangs = false;
    let mut written = Written::default();
    if let Some(tee) = &session.tee {
        let finished = hear(supervisor, tee.finish(left(end))).await;
        let is_given_up = finished.is_none();
        let (report, file) = finished.unwrap_or_else(|| (tee.give_up(), None));
        hangs = is_given_up && report.log_failure.is_some();
        outcome.after_partial_line = report.stderr_mid_line;
        judge(context, outcome, &report, cut_short(hangs, supervisor));
        if let Some(opened) = &session.opened {
            *mutex::lock(&opened.written) = file;
        }
        written = Written { output: report.log_bytes, newline_added: report.newline_added, corrects: 0 };
        for border in &mut outcome.borders {
            *border = report.in_log(border.start)..report.in_log(border.end);
        }
        outcome.own = report.own;
    }
    if let Some(opened) = &session.opened {
        if !hangs {
            let closed = Closing { context, opened, end }.close(written, supervisor, outcome).await;
            hangs = closed.is_given_up;
            written = closed.written;
        }
        let patience = if hangs { AFTER_A_HANG.min(left(end)) } else { left(end) };
        let ended = Footer::of(outcome, &opened.key).ended.after(Written { corrects: 0, ..written });
        let entered = on_volume(opened, patience, supervisor, |opened| enter(opened, ended)).await;
        match entered {
            Ok(Ok(warning)) => warning.into_iter().for_each(|warning| tell(outcome, warning)),
            // The log is the truth and holds the end.
            Ok(Err(error)) => tell(outcome, format!("the index has no end for this attempt: {error}")),
            Err(failure) => log_failed(context, outcome, failure),
        }
    }
    log_outcome(context, outcome);
    if hangs {
        // Probably on the same volume: waiting for it would hang once more.
        std::mem::forget(session.diagnostics);
        leave_files();
    }
    // Leaves closing to the kernel: closing a descriptor on a hung volume would block here.
    std::mem::forget(session.opened);
}

/// Adds a warning that came too late for the footer.
fn tell(outcome: &mut Outcome, warning: String) {
    say(Level::Warning, &warning);
    outcome.warnings.push(warning);
}

/// Enters the end in the index, once the log is durable. A state directory that the command removed is created again.
fn enter(opened: &Opened, ended: Ended) -> Result<Option<String>, VolumeError> {
    let volume = &opened.volume;
    let state = volume.state_is_elsewhere.then_some(volume.state_path.as_path());
    let now = Volume::create(&volume.log_path, state, volume.log_mode)?;
    let is_new = History::open(&now)?.is_none();
    let history = History::create(&now)?;
    if is_new {
        history.enter(&Line::Start(opened.started.clone()))?;
    }
    history.enter(&Line::End(ended))?;
    let path = now.state_path.display();
    Ok(is_new
        .then(|| format!("{path} was removed while the hook ran: logs and history of earlier runs are gone")))
}

/// Waits for the tee's report while signals are still read: after a stop for a short time, after a second stop not at
/// all.
async fn hear<T>(supervisor: &mut Supervisor, work: impl Future<Output = Option<T>>) -> Option<T> {
    let hurried = hurried(supervisor);
    let work = async {
        tokio::select! {
            biased;
            finished = work => finished,
            () = hurried => None,
        }
    };
    supervisor.attend(work).await.ok().flatten()
}

/// A second signal to stop leaves the output no time: it says nothing of the volume.
fn cut_short(is_given_up: bool, supervisor: &Supervisor) -> Option<Failure> {
    let is_cut = is_given_up && supervisor.stop_at_once_requested();
    is_cut.then(|| messages::cut_short("writing the output to the log", supervisor.stop()))
}

fn judge(context: &Context<'_>, outcome: &mut Outcome, report: &Report, cut_short: Option<Failure>) {
    match &report.stdout_failure {
        Some(failure) => outcome.warnings.push(format!("stdout was given up: {failure}")),
        None if report.missed > 0 => {
            let missed = report.missed;
            tell(outcome, format!("stdout was blocked, and took {missed} bytes less than were printed"));
        }
        None => {}
    }
    match (&report.log_failure, cut_short) {
        (Some(_), Some(cut_short)) => log_failed(context, outcome, cut_short),
        (Some(failure), None) => judge_log(context, outcome, failure, report.log_missed),
        (None, _) => {}
    }
}

fn judge_log(context: &Context<'_>, outcome: &mut Outcome, failure: &LogFailure, missed: u64) {
    let hung = failure.cause == Cause::Hung;
    if hung {
        let (log, at, operation) =
            (outcome.log.as_deref().unwrap_or_default(), failure.at, failure.operation);
        let what = format!("{log}: the log ends at byte {at}: {operation} does not return: the volume hangs");
        say(Level::Error, &what);
    }
    let failure = messages::log(outcome.log.as_deref().unwrap_or_default(), failure, missed);
    if hung && context.hook.log_failure == OnLogFailure::Fail {
        // If the command failed because its log failed, the log is the cause.
        outcome.overrule(failure);
    } else {
        log_failed(context, outcome, failure);
    }
}

fn log_outcome(context: &Context<'_>, outcome: &Outcome) {
    for warning in &outcome.warnings {
        tracing::warn!("{}", context.secrets.clean(warning));
    }
    tracing::info!(status = outcome.status(), "{}", outcome.title());
}
