//! The end of an attempt: the content durable and recorded, the footer, the log durable, the index. All of it
//! together has one time limit, so that a volume that hangs cannot hold the attempt at each of its parts.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Attempt;
use crate::attempt::messages;
use crate::attempt::outcome::Failure;
use crate::commands::copy as copying;
use crate::copy;
use crate::diagnostics::Diagnostics;
use crate::hook::log_target::OnLogFailure;
use crate::hook::steps::Step;
use crate::output::{Cause, Closing, Enter, LogFailure, Report, Sealing, Tee};
use crate::process::leave_files;
use crate::support::blocking;
use crate::volume::{VolumeError, frame, index, now};

/// What is kept for footer, sync and index when the attempt's time is over or the pod is being stopped.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(3);
/// From the attempt's time and the grace after it, at the latest, to its end.
const END: Duration = Duration::from_millis(4500);
/// How long making things durable may take where nobody set a limit: a slow network volume takes minutes.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// What is known of an attempt when its log is about to be sealed.
#[derive(Debug)]
pub(super) struct Closed {
    /// Of the attempt, at the latest.
    end: Instant,
    /// As the footer says.
    status: u8,
    /// Of the log, so far.
    failure: Option<LogFailure>,
    /// What comes of entering the end in the index.
    entered: Option<mpsc::Receiver<Result<(), VolumeError>>>,
}

impl Closed {
    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
    }
}

impl Attempt {
    /// Makes the volume's content durable and records it as the run left it.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        let copies: Vec<copy::Request> = self
            .hook
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Copy { from, to, options } => Some(self.request(from, to, options)),
                _ => None,
            })
            .collect();
        if copies.is_empty() {
            // What a command wrote beside the log is synced with it.
            return Ok(());
        }
        let (patience, stop) = (self.hook.lock_timeout, self.supervisor.stop_token());
        let work = blocking::once(move || -> Result<(), Failure> {
            copies.iter().try_for_each(|request| {
                let _turn = copying::take_turn(request, patience, &stop)?;
                copy::seal(request).map_err(|error| messages::copy(&error))
            })
        });
        match tokio::time::timeout(self.patience(), self.supervisor.attend(work)).await {
            Ok(Ok(Ok(done))) => done,
            Ok(Ok(Err(error))) => Err(messages::fault(error)),
            Ok(Err(_)) => Err(messages::stopped("while the volume was synced")),
            Err(_) => Err(messages::hung("syncing the volume")),
        }
    }

    /// The footer and what else ends the log, if there is one.
    pub(super) async fn close(&mut self) -> (Closed, Option<(Tee, Closing)>) {
        let mut closed = Closed {
            end: Instant::now() + self.patience(),
            status: self.outcome.status(),
            failure: None,
            entered: None,
        };
        let Some(tee) = self.tee.take() else { return (closed, None) };
        let report = self.hear(&tee, tee.report(closed.left())).await;
        self.judge_log(report.log_failure.as_ref(), report.log_missed);
        if let Some(error) = self.opened.as_ref().and_then(|opened| opened.untidy()) {
            self.outcome.warnings.push(format!("too many logs of earlier runs are kept: {error}"));
        }
        self.log_outcome();
        let footer = frame::footer(&self.outcome.title(), &self.outcome.rows(&now()), false).into_bytes();
        let (enter, answer) = self.entry();
        let copied = self.hook.steps.iter().any(|step| matches!(step, Step::Copy { .. }));
        let sync_volume = self.outcome.failure.is_none() && !copied;
        closed.status = self.outcome.status();
        closed.failure = report.log_failure;
        closed.entered = Some(answer);
        (closed, Some((tee, Closing { footer, enter, sync_volume })))
    }

    /// The log's durability, the index. May turn success into 74; never the reverse.
    pub(super) async fn seal(&mut self, closed: Closed, sealing: Option<(Tee, Sealing)>) {
        let mut hangs = false;
        let mut entered = None;
        if let Some((tee, sealing)) = sealing {
            let sealed = self.hear(&tee, tee.sealed(sealing, closed.left())).await;
            if sealed.log_failure != closed.failure {
                self.judge_log(sealed.log_failure.as_ref(), sealed.log_missed);
            }
            if let Some(failure) = &sealed.volume_failure {
                self.outcome.fail(messages::volume(self.outcome.log.as_deref().unwrap_or_default(), failure));
            }
            hangs = sealed.log_cause() == Some(Cause::Hung);
            if let Some(failure) = sealed.stdout_failure {
                self.outcome.warnings.push(format!("stdout was given up: {failure}"));
            }
            entered = closed.entered.as_ref().and_then(|entered| entered.try_iter().next());
            if self.outcome.status() != closed.status {
                self.log_outcome();
                // The end that was entered is not what it came to.
                entered = entered.filter(Result::is_err);
            }
        }
        match (entered, self.opened.take()) {
            (Some(Err(error)), _) => self.log_failed(messages::store(&error)),
            (None, Some(opened)) => {
                let ended = self.ended();
                let work = blocking::once(move || opened.enter_end(ended));
                // After a log that hangs: the index is most likely on the same volume.
                let patience =
                    if hangs { Duration::from_millis(500).min(closed.left()) } else { closed.left() };
                let failure = match tokio::time::timeout(patience, self.supervisor.attend(work)).await {
                    Ok(Ok(Ok(Ok(())))) => None,
                    Ok(Ok(Ok(Err(error)))) => Some(messages::store(&error)),
                    Ok(Ok(Err(error))) => Some(messages::fault(error)),
                    Ok(Err(_)) => Some(messages::stopped("while the log was sealed")),
                    Err(_) => Some(messages::hung("entering the attempt's end in the index")),
                };
                if let Some(failure) = failure {
                    self.log_failed(failure);
                }
            }
            _ => {}
        }
        let diagnostics = self.diagnostics.take();
        if hangs {
            // Written to the same volume, most likely: ending them would wait for it once more.
            std::mem::forget(diagnostics);
            leave_files();
        }
    }

    fn log_outcome(&self) {
        for warning in &self.outcome.warnings {
            tracing::warn!("{}", self.clean(warning));
        }
        tracing::info!(status = self.outcome.status(), "{}", self.outcome.title());
    }

    /// Enters the attempt's end, as it is known now, in the index; and what came of that.
    fn entry(&self) -> (Enter, mpsc::Receiver<Result<(), VolumeError>>) {
        let (answer, entered) = mpsc::channel();
        let enter: Enter = match self.opened.clone() {
            Some(opened) => {
                let ended = self.ended();
                let lines = self.diagnostics.as_ref().and_then(Diagnostics::take_held);
                Box::new(move || {
                    // The receiver is gone when the volume has been given up.
                    let _ = answer.send(opened.enter_end(ended));
                    if let Some(lines) = lines {
                        // What came of diagnostics changes nothing.
                        let _ = opened.note_down(&lines);
                    }
                })
            }
            None => Box::new(|| {}),
        };
        (enter, entered)
    }

    fn ended(&self) -> index::Ended {
        index::Ended {
            run: self.outcome.identity.run.clone(),
            attempt: self.outcome.attempt,
            at: now(),
            status: self.outcome.status(),
            result: self.outcome.word().into(),
            message: self.outcome.failure.as_ref().map(Failure::sentence).unwrap_or_default(),
            duration_ms: self.outcome.duration_ms,
            files_copied: self.outcome.files_copied,
        }
    }

    /// What the tee answers, while signals are still heard: a stop leaves it a short time, a second one none.
    async fn hear(&mut self, tee: &Tee, work: impl Future<Output = Report>) -> Report {
        let stop = self.supervisor.stop_token();
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
        self.supervisor.attend(work).await.unwrap_or_else(|_| tee.give_up())
    }

    fn judge_log(&mut self, failure: Option<&LogFailure>, missed: u64) {
        let Some(failure) = failure else { return };
        let log = self.outcome.log.clone().unwrap_or_default();
        let hung = failure.cause == Cause::Hung;
        let failure = messages::log(&log, failure, missed);
        if hung && self.hook.log_failure == OnLogFailure::Fail {
            // A command that could not go on because its log did not is not what went wrong.
            self.outcome.overrule(failure);
        } else {
            self.log_failed(failure);
        }
    }

    fn log_failed(&mut self, failure: Failure) {
        match self.hook.log_failure {
            OnLogFailure::Fail => self.outcome.fail(failure),
            OnLogFailure::Warn => self.outcome.warnings.push(failure.sentence()),
        }
    }

    /// How long the end of the attempt may take.
    fn patience(&self) -> Duration {
        if self.supervisor.stop_requested() {
            return LAST_WORDS;
        }
        match self.deadline {
            Some(deadline) => {
                let left = |end: Instant| end.saturating_duration_since(Instant::now());
                let end = deadline.checked_add(self.grace.saturating_add(END));
                left(deadline).max(end.map_or(LAST_WORDS, |end| LAST_WORDS.min(left(end))))
            }
            None => PATIENCE,
        }
    }
}
