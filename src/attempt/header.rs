//! What is known when an attempt begins, and the header made of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::hook::identity::Identity;
use crate::support::observed::Observed;
use crate::support::times;
use crate::volume::record::{FORMAT, Started, seal};
use crate::volume::{Attempt, Keep, Volume, frames};

/// What is needed to open an attempt.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Gets what the opening waits for.
    pub waiting: Observed,
    /// The preserved log.
    pub log: PathBuf,
    /// A shard: the lock is shared with the other shards, but excludes other runs.
    pub shared: bool,
    /// The state directory, if one was given.
    pub state: Option<PathBuf>,
    /// Mode of a new log.
    pub log_mode: u32,
    /// Bytes of the attempt's output that are kept; `None` for all.
    pub max_log: Option<u64>,
    /// How long to wait for the lock.
    pub lock_timeout: Duration,
    /// How many earlier logs stay.
    pub keep: Keep,
    /// Who runs.
    pub identity: Identity,
    /// Further rows of the header.
    pub rows: Vec<(&'static str, String)>,
}

/// The record of an attempt that begins at `offset` of the log, after the `earlier` attempts. Its footer will show
/// `key`.
pub(super) fn started(plan: &Plan, volume: &Volume, earlier: &[Attempt], offset: u64, key: &str) -> Started {
    let identity = &plan.identity;
    let of_run = earlier.iter().filter(|attempt| attempt.started.run == identity.run);
    Started {
        format: FORMAT,
        seq: earlier.iter().map(|attempt| attempt.started.seq).max().unwrap_or(0) + 1,
        run: identity.run.clone(),
        attempt: of_run.map(|attempt| attempt.started.attempt).max().unwrap_or(0) + 1,
        at: times::now(),
        log: volume.log_name.to_string_lossy().into_owned(),
        offset,
        seal: seal(key),
        release: identity.release.clone(),
        revision: identity.revision.clone(),
        event_name: identity.event.clone(),
        job: identity.job.clone(),
        pod: identity.pod.clone(),
    }
}

/// The header, with a note about the attempt before.
pub(super) fn text(plan: &Plan, started: &Started, last: Option<&Attempt>) -> String {
    let identity = &plan.identity;
    let release = identity.release_text();
    let title = if release.is_empty() {
        format!("{} of run {}", started.attempt, started.run)
    } else {
        format!("{} of run {} ({release})", started.attempt, started.run)
    };
    let mut rows = vec![
        ("started", format!("{} by hook-runner {}", started.at, env!("CARGO_PKG_VERSION"))),
        ("where", identity.place_text()),
    ];
    if let Some(chart) = &identity.chart {
        rows.push(("chart", chart.clone()));
    }
    if let Some(text) = last.and_then(|last| earlier_text(last, &started.run)) {
        rows.push(("before", text));
    }
    rows.extend(plan.rows.iter().cloned());
    frames::header(&title, &rows, started)
}

/// A note about the attempt before; `None` if that was another run that ended well.
fn earlier_text(last: &Attempt, run: &str) -> Option<String> {
    let same = last.started.run == run;
    let who = if same {
        format!("attempt {}", last.started.attempt)
    } else {
        format!("attempt {} of run {}", last.started.attempt, last.started.run)
    };
    match &last.ended {
        None => Some(format!(
            "{who} was interrupted: it started at {} and has no end (killed, out of memory, or the node went down)",
            last.started.at
        )),
        Some(end) if end.status == 0 => same.then(|| format!("{who} succeeded at {}", end.at)),
        Some(end) => Some(format!("{who} ended at {} with status {}: {}", end.at, end.status, end.message)),
    }
}
