//! Migrates what version 0.1 left in the state directory: `index.jsonl` and `runs/<run>.log`, for all logs of the
//! directory together. It is read in place, and moved to a log's history when that log is used again. Each step can be
//! repeated after a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read;

use super::error::VolumeError;
use super::history_dir::{History, SUFFIX, logs_with_history};
use super::index;
use super::paths::Volume;
use super::record::Line;
use crate::support::rooted_dir::OFlags;

/// The directory of earlier logs.
pub(super) const RUNS: &str = "runs";

/// What version 0.1 left of one log.
#[derive(Debug, Default)]
pub(super) struct Old {
    /// Its lines of the index.
    pub(super) lines: Vec<Line>,
    /// The names of its earlier logs in `runs`.
    pub(super) runs: Vec<OsString>,
}

/// What version 0.1 left of the volume's log. A run without a log in the index belongs to it.
pub(super) fn old(volume: &Volume) -> Old {
    let lines = lines(volume);
    let mut log_of_run: BTreeMap<String, String> = BTreeMap::new();
    for line in &lines {
        if let Line::Start(started) = line {
            log_of_run.insert(started.run.clone(), started.log.clone());
        }
    }
    let own = volume.log_name.to_string_lossy();
    let is_own = |run: &str| log_of_run.get(run).is_none_or(|log| *log == own);
    let names = volume.state.open_dir(RUNS).and_then(|runs| runs.entries()).unwrap_or_default();
    let run_of =
        |name: &OsString| name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned);
    let runs = names.into_iter().map(|(name, _)| name);
    let runs = runs.filter(|name| run_of(name).is_some_and(|run| is_own(&run))).collect();
    let own_lines = lines.iter().filter(|line| match line {
        Line::Start(started) => is_own(&started.run),
        Line::End(ended) => is_own(&ended.run),
    });
    Old { lines: own_lines.cloned().collect(), runs }
}

pub(super) fn old_logs(volume: &Volume) -> BTreeSet<OsString> {
    let logs = lines(volume).into_iter().filter_map(|line| match line {
        Line::Start(started) => Some(OsString::from(started.log)),
        Line::End(_) => None,
    });
    logs.collect()
}

/// Migrates what belongs to the volume's log, if there is anything. The old index is removed with the last log that it
/// names.
pub fn bring_over(volume: &Volume, history: &History) -> Result<(), VolumeError> {
    let old = old(volume);
    if old.lines.is_empty() && old.runs.is_empty() {
        return Ok(());
    }
    let known = index::Index::new(&history.directory, &history.path).read().unwrap_or_default();
    for line in &old.lines {
        let there = known.attempts.iter().any(|(started, ended)| match line {
            Line::Start(line) => started.run == line.run && started.attempt == line.attempt,
            Line::End(line) => {
                ended.as_ref().is_some_and(|ended| ended.run == line.run && ended.attempt == line.attempt)
            }
        });
        if !there {
            history.enter(line)?;
        }
    }
    let path = volume.state_path.join(RUNS);
    if let Ok(runs) = volume.state.open_dir(RUNS) {
        for name in &old.runs {
            runs.rename_to_free(name, &history.directory, name)
                .map_err(VolumeError::at("bring over", path.join(name)))?;
        }
    }
    history.directory.sync().map_err(VolumeError::at("sync", &history.path))?;
    let brought: BTreeSet<OsString> = logs_with_history(volume).into_iter().collect();
    if old_logs(volume).is_subset(&brought) {
        let index = volume.state.unlink(index::NAME);
        index.map_err(VolumeError::at("remove", volume.state_path.join(index::NAME)))?;
        // Foreign entries stay.
        let _ = volume.state.remove_dir(RUNS);
    }
    Ok(())
}

fn lines(volume: &Volume) -> Vec<Line> {
    let mut text = Vec::new();
    let read = volume
        .state
        .open_regular(index::NAME, OFlags::RDONLY, 0)
        .and_then(|mut file| file.read_to_end(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
