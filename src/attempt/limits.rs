//! The ends that an attempt may come to while it waits for something: its time is over, a signal asks it to stop, a second
//! one to stop at once.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::Attempt;
use crate::attempt::messages;
use crate::attempt::outcome::Failure;

impl Attempt {
    /// Runs `work` while signals are read. At the attempt's deadline `cancel` is cancelled, and work that does
    /// not end then within the grace is given up.
    pub(super) async fn cancellable<F: Future>(
        &mut self,
        work: F,
        cancel: &CancellationToken,
    ) -> Result<F::Output, Failure> {
        let (deadline, grace) = (self.deadline, self.grace);
        let stop = cancel.clone();
        let limited = async move {
            tokio::pin!(work);
            tokio::select! {
                output = &mut work => return Some(output),
                () = until(deadline) => stop.cancel(),
                () = stop.cancelled() => {}
            }
            tokio::time::timeout(grace, work).await.ok()
        };
        match self.supervisor.attend(limited).await {
            Ok(Some(output)) => Ok(output),
            Ok(None) if self.supervisor.stop_requested() => {
                Err(messages::stopped("during a step that did not end in its grace"))
            }
            Ok(None) => Err(self.timed_out("the volume does not answer")),
            Err(_) => Err(messages::stopped("by a second signal")),
        }
    }

    /// As [`Attempt::cancellable`], for work that has no token and may simply be dropped.
    pub(super) async fn limited<F: Future>(&mut self, work: F) -> Result<F::Output, Failure> {
        let stop = self.supervisor.stop_token();
        let deadline = self.deadline;
        let limited = async move {
            tokio::select! {
                output = work => Some(output),
                () = stop.cancelled() => None,
                () = until(deadline) => None,
            }
        };
        match self.supervisor.attend(limited).await {
            Ok(Some(output)) => Ok(output),
            Ok(None) if self.late() => Err(self.timed_out("the volume was not opened")),
            _ => Err(messages::stopped("before the first step")),
        }
    }

    pub(super) fn late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(super) fn timed_out(&self, what: &str) -> Failure {
        messages::timed_out(self.hook.timeout, what)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
