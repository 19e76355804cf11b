//! Prints a line every ten seconds while something is waited for, with the last observation: a silent pod log looks
//! like a hung hook. On stderr only; the preserved log says at its end how long each step took.

use std::time::{Duration, Instant};

use crate::output::{Level, say};
use crate::support::durations::shown;

const PERIOD: Duration = Duration::from_secs(10);

/// The same for a blocking wait, which looks again and again.
pub(super) struct Heartbeat {
    what: String,
    began: Instant,
    beats: u32,
}

impl Heartbeat {
    pub(super) fn new(what: String) -> Self {
        Self { what, began: Instant::now(), beats: 0 }
    }

    /// Call between two looks, with the last observation.
    pub(super) fn beat(&mut self, seen: &str) {
        let waited = self.began.elapsed();
        if waited >= PERIOD * (self.beats + 1) {
            self.beats += 1;
            say(Level::Info, &format!("{} for {}: {seen}", self.what, shown(waited)));
        }
    }
}

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
