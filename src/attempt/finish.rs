//! The end of an attempt: the output, the log put back under its name where the command removed it, the footer, the log
//! durable under its name, the end in the index. All of it together has one time limit, so that a volume that hangs
//! cannot hold the attempt at each of its parts.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::Context;
use super::limits::LAST_WORDS;
use super::messages;
use super::open::Opened;
use super::outcome::{Failure, Outcome, StepReport};
use super::session::Session;
use crate::hook::log_target::OnLogFailure;
use crate::output::{LogFailure, Report, Tee, say};
use crate::process::{Supervisor, leave_files};
use crate::support::cause::Cause;
use crate::support::{blocking, mutex, times};
use crate::volume::record::{Ended, Line, StepEnd, Written};
use crate::volume::{History, SealError, Volume, VolumeError, frames};

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
    let mut written = Written::default();
    if let Some(tee) = &session.tee {
        let (report, file) = hear(supervisor, tee, tee.finish(left(end))).await;
        hangs = report.log_cause() == Some(Cause::Hung);
        outcome.after_partial_line = report.stderr_mid_line;
        judge(context, outcome, &report);
        if let Some(opened) = &session.opened {
            *mutex::lock(&opened.written) = file;
        }
        written = Written { output: report.log_bytes, newline_added: report.newline_added, corrects: 0 };
    }
    if let Some(opened) = &session.opened {
        if !hangs {
            let closed = close(context, opened, written, end, supervisor, outcome).await;
            hangs = closed.is_none();
            written = closed.unwrap_or(written);
        }
        let patience = if hangs { AFTER_A_HANG.min(left(end)) } else { left(end) };
        let ended = Footer::of(outcome, &opened.key).ended.after(Written { corrects: 0, ..written });
        let entered = on_volume(opened, patience, supervisor, |opened| enter(opened, ended)).await;
        match entered {
            Ok(Ok(warning)) => warning.into_iter().for_each(|warning| tell(outcome, warning)),
            // The log is the truth, and has it.
            Ok(Err(error)) => tell(outcome, format!("the index has no end for this attempt: {error}")),
            Err(failure) => log_failed(context, outcome, failure),
        }
    }
    log_outcome(context, outcome);
    if hangs {
        // Written to the same volume, most likely: ending them would wait for it once more.
        std::mem::forget(session.diagnostics);
        leave_files();
    }
    // Closed by the kernel: a descriptor on a volume that hangs would be waited for here.
    std::mem::forget(session.opened);
}

/// A warning that comes too late for the footer.
fn tell(outcome: &mut Outcome, warning: String) {
    say(&format!("hook-runner: {warning}\n"));
    outcome.warnings.push(warning);
}

/// The footer of an attempt, but for the numbers of what stands before it.
struct Footer {
    title: String,
    rows: Vec<(&'static str, String)>,
    ended: Ended,
}

impl Footer {
    fn of(outcome: &Outcome, key: &str) -> Self {
        let ended = Ended {
            run: outcome.identity.run.clone(),
            attempt: outcome.attempt,
            at: times::now(),
            status: outcome.status(),
            result: outcome.word().into(),
            message: outcome.failure.as_ref().map(Failure::sentence).unwrap_or_default(),
            duration_ms: outcome.duration_ms,
            files_copied: outcome.files_copied,
            retries: outcome.retries,
            steps: step_ends(outcome),
            key: key.to_owned(),
            ..Ended::default()
        };
        Self { title: outcome.title(), rows: outcome.rows(&ended.at), ended }
    }

    fn text(&self, written: Written) -> Vec<u8> {
        frames::footer(&self.title, &self.rows, &self.ended.after(written)).into_bytes()
    }
}

fn step_ends(outcome: &Outcome) -> Vec<StepEnd> {
    let steps = outcome.steps.iter().zip(&outcome.borders);
    let end = |(report, bytes): (&StepReport, &Range<u64>)| StepEnd {
        step: report.step.clone(),
        result: report.result.clone(),
        duration_ms: report.duration_ms,
        from: bytes.start,
        to: bytes.end,
    };
    steps.map(end).collect()
}

#[allow(clippy::too_many_arguments)] // what is ended, who hears signals meanwhile, what came of it
/// The log back under its name, the footer, everything durable, the name checked. Returns what stands in the log before
/// the footer; none when the volume hangs.
async fn close(
    context: &Context<'_>,
    opened: &Arc<Opened>,
    tee: Written,
    end: Instant,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) -> Option<Written> {
    let prepared = on_volume(opened, left(end), supervisor, move |opened| prepare(opened, tee)).await;
    let (put_back, written) = prepared.map_err(|failure| log_failed(context, outcome, failure)).ok()?;
    match put_back {
        Ok(None) => {}
        Ok(Some(line)) => outcome.warnings.push(line.trim_end().trim_start_matches("hook-runner: ").into()),
        Err(error) => log_failed(context, outcome, messages::seal(&error, outcome.log.as_deref())),
    }
    let footer = Footer::of(outcome, &opened.key);
    let sealed = on_volume(opened, left(end), supervisor, move |opened| seal(opened, written, &footer)).await;
    let (sealed, written) = sealed.map_err(|failure| log_failed(context, outcome, failure)).ok()?;
    let Err(error) = sealed else { return Some(written) };
    let claimed = outcome.status();
    log_failed(context, outcome, messages::seal(&error, outcome.log.as_deref()));
    if outcome.status() != claimed {
        // The footer says what does not hold; best effort, as the volume has just failed.
        let footer = Footer::of(outcome, &opened.key);
        let _ = on_volume(opened, left(end), supervisor, move |opened| {
            mutex::lock(&opened.log).close(written, &|written| footer.text(written))
        })
        .await;
    }
    Some(written)
}

/// The log back under its name, all of the output in it, durable. Before the footer: a volume that hangs or fails now is not
/// left with a success on it.
fn prepare(opened: &Opened, tee: Written) -> (Result<Option<String>, SealError>, Written) {
    let mut log = mutex::lock(&opened.log);
    let put_back = log.put_back(tee.output).and_then(|line| {
        log.append(line.as_deref().unwrap_or_default().as_bytes())?;
        Ok(line)
    });
    let newline_added = tee.newline_added && !matches!(put_back, Ok(Some(_)));
    let written = log.written(newline_added);
    let put_back = put_back.and_then(|line| log.sync().map(|()| line));
    match written {
        Ok(written) => (put_back, written),
        Err(error) => (put_back.and(Err(error)), tee),
    }
}

fn seal(opened: &Opened, written: Written, footer: &Footer) -> (Result<(), SealError>, Written) {
    let output = mutex::lock(&opened.written).take();
    let mut log = mutex::lock(&opened.log);
    match log.close(written, &|written| footer.text(written)) {
        Ok(written) => (log.seal(output, written), written),
        Err(error) => (Err(error), written),
    }
}

/// Enters the end in the index, after the log that it speaks of is durable. A state directory that the command removed
/// is made anew.
fn enter(opened: &Opened, ended: Ended) -> Result<Option<String>, VolumeError> {
    let volume = &opened.volume;
    let state = volume.state_is_elsewhere.then_some(volume.state_path.as_path());
    let now = Volume::create(&volume.log_path, state)?;
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

/// Runs `work` on the volume, within `patience`; signals are read meanwhile.
async fn on_volume<T: Send + 'static>(
    opened: &Arc<Opened>,
    patience: Duration,
    supervisor: &mut Supervisor,
    work: impl FnOnce(&Opened) -> T + Send + 'static,
) -> Result<T, Failure> {
    let opened = Arc::clone(opened);
    let work = tokio::time::timeout(patience, blocking::run(move || work(&opened)));
    let hurried = hurried(supervisor);
    let work = async {
        tokio::select! {
            biased;
            done = work => done.ok(),
            () = hurried => None,
        }
    };
    match supervisor.attend(work).await {
        Ok(Some(Ok(done))) => Ok(done),
        Ok(Some(Err(error))) => Err(messages::fault(error)),
        Ok(None) | Err(_) => Err(messages::hung("making the log durable")),
    }
}

/// Ends a short time after a stop.
fn hurried(supervisor: &Supervisor) -> impl Future<Output = ()> + use<> {
    let stop = supervisor.stop_token();
    async move {
        stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    }
}

/// What the tee answers, while signals are still heard: a stop leaves it a short time, a second one none.
async fn hear(
    supervisor: &mut Supervisor,
    tee: &Tee,
    work: impl Future<Output = (Report, Option<File>)>,
) -> (Report, Option<File>) {
    let hurried = hurried(supervisor);
    let work = async {
        tokio::select! {
            biased;
            finished = work => finished,
            () = hurried => (tee.give_up(), None),
        }
    };
    supervisor.attend(work).await.unwrap_or_else(|_| (tee.give_up(), None))
}

fn judge(context: &Context<'_>, outcome: &mut Outcome, report: &Report) {
    if let Some(failure) = &report.stdout_failure {
        outcome.warnings.push(format!("stdout was given up: {failure}"));
    }
    if let Some(failure) = &report.log_failure {
        judge_log(context, outcome, failure, report.log_missed);
    }
}

fn judge_log(context: &Context<'_>, outcome: &mut Outcome, failure: &LogFailure, missed: u64) {
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
