//! Closes the log: puts it back under its name, writes the footer, makes it durable and checks its name. If that fails
//! after the footer was written, corrects the footer.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::context::Context;
use super::in_time::{left, on_volume};
use super::messages;
use super::open::Opened;
use super::outcome::{Failure, Outcome, StepReport};
use crate::hook::log_target::OnLogFailure;
use crate::process::Supervisor;
use crate::support::{mutex, times};
use crate::volume::record::{Ended, StepEnd, Written};
use crate::volume::{Footers, SealError, frames};

/// The footer of an attempt, except for the numbers about what precedes it.
pub(super) struct Footer {
    title: String,
    rows: Vec<(&'static str, String)>,
    pub(super) ended: Ended,
}

impl Footer {
    pub(super) fn of(outcome: &Outcome, key: &str) -> Self {
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
            own: outcome.own.iter().map(|range| (range.start, range.end)).collect(),
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

/// The state of the log after closing.
pub(super) struct Closed {
    /// What precedes the footer in the log.
    pub(super) written: Written,
    /// Not waited for any longer: the volume hangs, or a second signal to stop came.
    pub(super) is_given_up: bool,
}

/// A log that is about to be closed, and the time limit for that.
pub(super) struct Closing<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) opened: &'a Arc<Opened>,
    pub(super) end: Instant,
}

impl Closing<'_> {
    /// Puts the log back under its name, writes the footer, makes everything durable, and checks the name. A footer that
    /// turns out to be wrong is corrected, even if the volume answers too late.
    pub(super) async fn close(
        &self,
        tee: Written,
        supervisor: &mut Supervisor,
        outcome: &mut Outcome,
    ) -> Closed {
        let Self { context, opened, end } = *self;
        let prepared = on_volume(opened, left(end), supervisor, move |opened| prepare(opened, tee)).await;
        let (put_back, written, correction) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => {
                log_failed(context, outcome, failure);
                return Closed { written: tee, is_given_up: true };
            }
        };
        if let Ok(Some(line)) = &put_back {
            // The line follows the newline that was added to the command's last line.
            let length = line.len() as u64 + u64::from(tee.newline_added);
            outcome.own.push(written.output.saturating_sub(length)..written.output);
        }
        tell(context, outcome, put_back);
        let (claimed, footer) = (outcome.status(), Footer::of(outcome, &opened.key));
        let first = footer.text(written).len() as u64;
        let sealed =
            on_volume(opened, left(end), supervisor, move |opened| seal(opened, written, &footer)).await;
        let is_given_up = sealed.is_err();
        let accounted = match sealed {
            Ok((sealed, accounted)) => {
                tell(context, outcome, sealed);
                accounted
            }
            Err(failure) => {
                tracing::warn!("{}", failure.message);
                log_failed(context, outcome, failure);
                Written { corrects: first, ..written }
            }
        };
        if outcome.status() != claimed {
            // Corrects the footer. Best effort: the volume has just failed.
            let footer = Footer::of(outcome, &opened.key);
            let patience = if is_given_up { context.limits.last_word(supervisor) } else { left(end) };
            let corrected = on_volume(opened, patience, supervisor, move |opened| {
                // A call that hangs keeps the log locked; one that returned may have put the log back as another file.
                let log = || mutex::lock(&opened.log).footers().ok();
                let mut log = if is_given_up { correction } else { log() }?;
                log.close(accounted, &|accounted| footer.text(accounted)).and_then(|_| log.sync()).ok()
            });
            let is_corrected = corrected.await.is_ok_and(|corrected| corrected.is_some());
            tracing::info!(is_corrected, "the footer does not hold");
        }
        Closed { written, is_given_up }
    }
}

/// Reports the result: a log that was put back is a warning, one that failed is a failure.
fn tell(context: &Context<'_>, outcome: &mut Outcome, result: Result<Option<String>, SealError>) {
    match result {
        Ok(None) => {}
        Ok(Some(line)) => outcome.warnings.push(line.trim_end().trim_start_matches("hook-runner: ").into()),
        Err(error) => log_failed(context, outcome, messages::seal(&error, outcome.log.as_deref())),
    }
}

/// Puts the log back under its name and makes the output durable. Done before the footer, so that a volume that fails
/// now does not keep a footer that says success.
fn prepare(opened: &Opened, tee: Written) -> (Result<Option<String>, SealError>, Written, Option<Footers>) {
    let mut log = mutex::lock(&opened.log);
    let put_back = log.put_back(tee.output).and_then(|line| {
        log.append(line.as_deref().unwrap_or_default().as_bytes())?;
        Ok(line)
    });
    let newline_added = tee.newline_added && !matches!(put_back, Ok(Some(_)));
    let written = log.written(newline_added);
    let put_back = put_back.and_then(|line| log.sync().map(|()| line));
    // Without a free descriptor, nothing is corrected.
    let correction = log.footers().ok();
    match written {
        Ok(written) => (put_back, written, correction),
        Err(error) => (put_back.and(Err(error)), tee, correction),
    }
}

fn seal(opened: &Opened, written: Written, footer: &Footer) -> (Result<Option<String>, SealError>, Written) {
    let output = mutex::lock(&opened.written).take();
    let mut log = mutex::lock(&opened.log);
    let writer = log.footers();
    match writer.and_then(|mut writer| writer.close(written, &|written| footer.text(written))) {
        Ok(written) => (log.seal(output, written), written),
        Err(error) => (Err(error), written),
    }
}

/// A failure of the log, which `--log-failure` makes a warning.
pub(super) fn log_failed(context: &Context<'_>, outcome: &mut Outcome, failure: Failure) {
    match context.hook.log_failure {
        OnLogFailure::Fail => outcome.fail(failure),
        OnLogFailure::Warn => outcome.warnings.push(failure.sentence()),
    }
}
