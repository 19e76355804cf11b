//! How often the API server is asked, and how long for: pauses, time limits, patience with failures.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::api::ApiError;
use super::failure::Failure;

/// How often and how long. The defaults are for a cluster.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Between two looks at a pod whose container has not started; the first pause after a failure.
    pub poll: Duration,
    /// The longest pause between two tries.
    pub longest: Duration,
    /// After so much silence the pod's status is looked at.
    pub check: Duration,
    /// After so much silence a new connection is made.
    pub reopen: Duration,
    /// How long a missing permission, pod or file is taken for something that is on its way.
    pub settle: Duration,
    /// How long the rest of the log is asked for after the container's end.
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

/// How failures that follow one another are met: with growing pauses, and those that do not pass by themselves
/// only for a while.
pub(super) struct Patience<'a> {
    pace: &'a Pace,
    pub(super) pause: Duration,
    since: Instant,
}

impl<'a> Patience<'a> {
    pub(super) fn new(pace: &'a Pace) -> Self {
        Self { pace, pause: pace.poll, since: Instant::now() }
    }

    /// Whether `error` will not pass by itself.
    pub(super) fn is_over(&self, error: &ApiError) -> bool {
        !error.passes() && self.since.elapsed() >= self.pace.settle
    }

    /// Pauses after `error`; returns it where it will not pass by itself.
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
