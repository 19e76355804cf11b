//! A line every ten seconds while something is waited for, with what was seen last: a pod's log that says nothing for
//! minutes looks like one that hangs. On stderr only: the preserved log says at its end how long each step took.

use std::time::{Duration, Instant};

use crate::output::{Level, say};
use crate::support::durations::shown;

/// From one line to the next.
const PERIOD: Duration = Duration::from_secs(10);

/// The output of `work`. `what` is being done meanwhile; `seen` is asked for the last observation, `None` where all is well.
pub(crate) async fn with_heartbeat<F: Future>(
    work: F,
    what: &str,
    seen: impl Fn() -> Option<String>,
) -> F::Output {
    let began = Instant::now();
    let beat = async {
        loop {
            tokio::time::sleep(PERIOD).await;
            let Some(seen) = seen() else { continue };
            let colon = if seen.is_empty() { "" } else { ": " };
            say(Level::Info, &format!("{what} for {}{colon}{seen}", shown(began.elapsed())));
        }
    };
    tokio::select! {
        biased;
        output = work => output,
        never = beat => never,
    }
}
