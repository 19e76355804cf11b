//! The limits of an attempt while it waits: its deadline, a signal to stop, and a second one to stop at once.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::messages;
use super::outcome::Failure;
use crate::hook::spec::Hook;
use crate::process::Supervisor;
use crate::support::durations::milliseconds;

/// Time for footer, sync and index once the deadline has passed or the pod is being stopped.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(3);
/// The latest end of the attempt, counted from its deadline plus the grace.
const END: Duration = Duration::from_millis(4500);
/// The latest last word in the log, counted from the same moment; index and messages come after it.
const LAST_WORD: Duration = Duration::from_millis(3500);
/// Time for a last word after the log hung; it probably goes to the same volume.
pub(super) const AFTER_A_HANG: Duration = Duration::from_millis(500);
/// The part of the pod's grace period that is reserved for the footer, the sync and the exit.
const SEALING: Duration = Duration::from_secs(3);
/// Time limit for making things durable if none was given: a slow network volume takes minutes.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The time limits of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    began: Instant,
    timeout: Option<Duration>,
    pub(super) deadline: Option<Instant>,
    /// Time from TERM to KILL.
    pub(super) grace: Duration,
}

impl Limits {
    /// The limits of an attempt that begins now.
    pub(super) fn new(hook: &Hook) -> Self {
        let began = Instant::now();
        Self {
            began,
            timeout: hook.timeout,
            deadline: hook.timeout.and_then(|timeout| began.checked_add(timeout)),
            grace: within_pod_grace(hook.grace, hook.drain, hook.pod_grace),
        }
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        milliseconds(self.began.elapsed())
    }

    pub(super) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(super) fn timed_out(&self, what: &str) -> Failure {
        messages::timed_out(self.timeout, what)
    }

    /// How long the end of the attempt may still take.
    pub(super) fn patience(&self, supervisor: &Supervisor) -> Duration {
        if supervisor.stop_requested() {
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

    /// How long a volume that was given up may still take for the last word in the log.
    pub(super) fn last_word(&self, supervisor: &Supervisor) -> Duration {
        let end = self.deadline.filter(|_| !supervisor.stop_requested());
        let end = end.and_then(|deadline| deadline.checked_add(self.grace.saturating_add(LAST_WORD)));
        end.map_or(LAST_WORDS, |end| end.saturating_duration_since(Instant::now())).max(AFTER_A_HANG)
    }

    /// Runs `work` while signals are read. At the attempt's deadline `cancel` is cancelled; work that does not end
    /// within the grace after that is given up.
    pub(super) async fn cancellable<F: Future>(
        &self,
        supervisor: &mut Supervisor,
        work: F,
        cancel: &CancellationToken,
    ) -> Result<F::Output, Failure> {
        let (deadline, grace) = (self.deadline, self.grace);
        let limited = async move {
            tokio::pin!(work);
            tokio::select! {
                output = &mut work => return Some(output),
                () = until(deadline) => cancel.cancel(),
                () = cancel.cancelled() => {}
            }
            tokio::time::timeout(grace, work).await.ok()
        };
        match supervisor.attend(limited).await {
            Ok(Some(output)) => Ok(output),
            Ok(None) if supervisor.stop_requested() => {
                Err(messages::stopped_by(supervisor.stop(), "during a step that did not end in its grace"))
            }
            Ok(None) => Err(self.timed_out("the volume does not answer")),
            Err(_) => Err(messages::stopped_by(supervisor.stop(), "and by a second one of the same kind")),
        }
    }

    /// As [`Limits::cancellable`], for work without a token, which may simply be dropped.
    pub(super) async fn droppable<F: Future>(
        &self,
        supervisor: &mut Supervisor,
        work: F,
    ) -> Result<F::Output, Failure> {
        let (stop, deadline) = (supervisor.stop_token(), self.deadline);
        let limited = async move {
            tokio::select! {
                output = work => Some(output),
                () = stop.cancelled() => None,
                () = until(deadline) => None,
            }
        };
        match supervisor.attend(limited).await {
            Ok(Some(output)) => Ok(output),
            Ok(None) if self.is_over() => Err(self.timed_out("the volume was not opened")),
            _ => Err(messages::stopped_by(supervisor.stop(), "before the first step")),
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The grace, shortened so that leftovers can be ended (`drain`) and the footer written and synced before the kubelet
/// kills the pod. `pod` is its whole grace period (`terminationGracePeriodSeconds`). At least one second.
fn within_pod_grace(grace: Duration, drain: Duration, pod: Option<Duration>) -> Duration {
    match pod {
        Some(pod) => grace.min(pod.saturating_sub(drain.saturating_add(SEALING)).max(Duration::from_secs(1))),
        None => grace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_leaves_time_to_seal_within_the_pods_own() {
        let s = Duration::from_secs;
        assert_eq!(within_pod_grace(s(20), s(2), Some(s(30))), s(20));
        assert_eq!(within_pod_grace(s(60), s(2), Some(s(30))), s(25));
        assert_eq!(within_pod_grace(s(60), s(2), Some(s(3))), s(1));
        assert_eq!(within_pod_grace(s(60), s(2), None), s(60));
    }
}
