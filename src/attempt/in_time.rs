//! Runs work at the end of an attempt so that a hung volume cannot block it: signals are read meanwhile, and after a
//! stop little time is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::LAST_WORDS;
use super::messages;
use super::open::Opened;
use super::outcome::Failure;
use crate::process::Supervisor;
use crate::support::blocking;

/// Runs `work` for at most `patience`. `what` describes it for the message about a hung volume.
pub(super) async fn at_the_end<F: Future>(
    patience: Duration,
    supervisor: &mut Supervisor,
    what: &str,
    work: F,
) -> Result<F::Output, Failure> {
    let hurried = hurried(supervisor);
    let limited = async {
        tokio::select! {
            biased;
            output = work => Some(output),
            () = tokio::time::sleep(patience) => None,
            () = hurried => None,
        }
    };
    match supervisor.attend(limited).await {
        Ok(output) => output.ok_or_else(|| messages::hung(what)),
        Err(_) => Err(messages::cut_short(what, supervisor.stop())),
    }
}

/// Runs a blocking call on the volume.
pub(super) async fn on_volume<T: Send + 'static>(
    opened: &Arc<Opened>,
    patience: Duration,
    supervisor: &mut Supervisor,
    work: impl FnOnce(&Opened) -> T + Send + 'static,
) -> Result<T, Failure> {
    let opened = Arc::clone(opened);
    let work = blocking::run(move || work(&opened));
    at_the_end(patience, supervisor, "making the log durable", work).await?.map_err(messages::fault)
}

/// Completes a short time after a stop.
pub(super) fn hurried(supervisor: &Supervisor) -> impl Future<Output = ()> + use<> {
    let stop = supervisor.stop_token();
    async move {
        stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    }
}

/// The time until `end`, but at least a moment.
pub(super) fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
}
