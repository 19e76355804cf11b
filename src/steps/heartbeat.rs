//! Prints a line every ten seconds while something is waited for, with the last observation: a silent pod log looks
//! like a hung hook. On stderr only; the preserved log says at its end how long each step took.

use std::time::{Duration, Instant};

use crate::output::{Level, say};
use crate::support::durations::shown;

const PERIOD: Duration = Duration::from_secs(10);

/// Runs `work` and returns its output. `what` names the work; `seen` gives the last observation, or `None` if there is
/// nothing to report.
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
