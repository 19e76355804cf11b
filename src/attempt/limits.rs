//! The ends that an attempt may come to while it waits for something: its time is over, a signal asks it to stop, a second
//! one to stop at once.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::messages;
use super::outcome::Failure;
use crate::hook::spec::Hook;
use crate::process::Supervisor;
use crate::support::durations::milliseconds;

/// What is kept for footer, sync and index when the attempt's time is over or the pod is being stopped.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(3);
/// From the attempt's time and the grace after it, at the latest, to its end.
const END: Duration = Duration::from_millis(4500);
/// From there to the last word in the log: the index, and what is said of the end, come after it.
const LAST_WORD: Duration = Duration::from_millis(3500);
/// What is left for a last word after a log that hangs: it most likely goes to the same volume.
pub(super) const AFTER_A_HANG: Duration = Duration::from_millis(500);
/// What is kept free of the pod's grace period for writing the footer, syncing the log and exiting.
const SEALING: Duration = Duration::from_secs(3);
/// How long making things durable may take where nobody set a limit: a slow network volume takes minutes.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The time that an attempt has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    began: Instant,
    timeout: Option<Duration>,
    pub(super) deadline: Option<Instant>,
    /// From TERM to KILL.
    pub(super) grace: Duration,
}

impl Limits {
    /// Of an attempt that begins now.
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

    /// How long the end of the attempt may take from now on.
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

    /// Runs `work` while signals are read. At the attempt's deadline `cancel` is cancelled, and work that does not end
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

    /// As [`Limits::cancellable`], for work that has no token and may simply be dropped.
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

/// The grace that still leaves time to end what the command left (`drain`), to write the footer and to sync it before
/// the kubelet kills the pod, whose whole period (`terminationGracePeriodSeconds`) is `pod`. At least one second.
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
