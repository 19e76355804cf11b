//! Decides which archived logs to keep. The running run's log is not archived. The newest archived log and that of the
//! last failed run are kept whatever their size.

use std::collections::HashSet;
use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use super::attempt::{Attempt, LogFile};
use super::error::VolumeError;
use super::history_dir::History;

/// How many earlier logs to keep; all limits apply.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Number of logs.
    pub runs: usize,
    /// Total bytes.
    pub bytes: u64,
    /// Days since they were last written.
    pub days: Option<u32>,
}

/// Removes surplus archived logs. `attempts` are in order of their starts.
pub fn prune(history: &History, attempts: &[Attempt], keep: Keep) -> Result<(), VolumeError> {
    let newest_first = newest_first(attempts);
    let failed = newest_first.iter().find(|(_, failed)| *failed).map(|(name, _)| name.clone());
    let mut kept = (0, 0_u64);
    let mut gone = HashSet::new();
    for (place, (name, _)) in newest_first.iter().enumerate() {
        let stat =
            history.directory.find(name).map_err(VolumeError::at("look at", history.path.join(name)))?;
        let Some(stat) = stat else { continue };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let fits =
            kept.0 < keep.runs && kept.1.saturating_add(size) <= keep.bytes && !is_old(stat.st_mtime, keep);
        if fits || place == 0 || failed.as_ref() == Some(name) {
            kept = (kept.0 + 1, kept.1.saturating_add(size));
            continue;
        }
        history.directory.unlink(name).map_err(VolumeError::at("remove", history.path.join(name)))?;
        gone.insert(name);
    }
    let has_log = |attempt: &&Attempt| match &attempt.bytes {
        Some((LogFile::Archived(name), _)) => !gone.contains(name),
        other => other.is_some(),
    };
    let runs = attempts.iter().filter(has_log).map(|attempt| attempt.started.run.as_str()).collect();
    history.prune_changes(&runs)
}

/// The archived logs, newest first, and whether the last attempt in each failed.
fn newest_first(attempts: &[Attempt]) -> Vec<(OsString, bool)> {
    let mut seen = HashSet::new();
    let mut logs = Vec::new();
    for attempt in attempts.iter().rev() {
        if let Some((LogFile::Archived(name), _)) = &attempt.bytes
            && seen.insert(name.clone())
        {
            logs.push((name.clone(), attempt.ended.as_ref().is_none_or(|ended| ended.status != 0)));
        }
    }
    logs
}

fn is_old(written: i64, keep: Keep) -> bool {
    let Some(days) = keep.days else { return false };
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age = age.saturating_sub(Duration::from_secs(u64::try_from(written).unwrap_or(0)));
    age > Duration::from_secs(u64::from(days) * 86_400)
}
