//! Intervals, time limits and retries of the requests to the API server.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::api::ApiError;
use super::failure::Failure;

/// Intervals and time limits. The defaults suit a cluster.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Interval of looks at a pod whose container has not started; also the first pause after a failure.
    pub poll: Duration,
    /// The longest pause between two requests.
    pub longest: Duration,
    /// After this silence the pod's status is asked for.
    pub check: Duration,
    /// After this silence a new connection is made.
    pub reopen: Duration,
    /// How long a missing permission, pod or file may still turn up.
    pub settle: Duration,
    /// Time limit for fetching the rest of the log after the container's end.
    pub last: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(250),
            longest: Duration::from_secs(5),
            check: Duration::from_secs(3),
            reopen: Duration::from_secs(60),
            settle: Duration::from_secs(10),
            last: Duration::from_secs(60),
        }
    }
}

/// Retries after consecutive failures: pauses grow, and a failure that is not temporary is retried only for a while.
pub(super) struct Patience<'a> {
    pace: &'a Pace,
    pub(super) pause: Duration,
    since: Instant,
}

impl<'a> Patience<'a> {
    pub(super) fn new(pace: &'a Pace) -> Self {
        Self { pace, pause: pace.poll, since: Instant::now() }
    }

    /// Whether to give up on `error`.
    pub(super) fn is_over(&self, error: &ApiError) -> bool {
        !error.passes() && self.since.elapsed() >= self.pace.settle
    }

    /// Pauses after `error`, or returns it when it is time to give up.
    pub(super) async fn wait(&mut self, error: ApiError) -> Result<(), Failure> {
        if self.is_over(&error) {
            return Err(error.into());
        }
        tracing::info!("{error}");
        self.rest().await;
        Ok(())
    }

    pub(super) async fn rest(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.pace.longest);
    }
}
