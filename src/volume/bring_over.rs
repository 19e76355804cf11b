//! What version 0.1 left in the state directory, brought over to the histories: `index.jsonl` and `runs/<run>.log` of all
//! logs of the directory together. Each step can be repeated after a kill.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;

use rustix::fs::OFlags;

use super::archive::rename_to_free;
use super::error::VolumeError;
use super::history_dir::{History, SUFFIX};
use super::index;
use super::paths::Volume;
use super::record::Line;

const RUNS: &str = "runs";

/// Brings over what concerns the volume's log; does nothing where 0.1 has left nothing. The old index goes when every log
/// that it names has its own.
pub fn bring_over(volume: &Volume, history: &History) -> Result<(), VolumeError> {
    let path = volume.state_path.join(index::NAME);
    let mut text = Vec::new();
    match volume.state.open_regular(index::NAME, OFlags::RDONLY, 0) {
        Ok(mut file) => file.read_to_end(&mut text).map_err(VolumeError::at("read", &path))?,
        Err(_) => return Ok(()),
    };
    let lines: Vec<Line> =
        text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let mut log_of_run: BTreeMap<&str, &str> = BTreeMap::new();
    for line in &lines {
        if let Line::Start(started) = line {
            log_of_run.insert(&started.run, &started.log);
        }
    }
    let own = volume.log_name.to_string_lossy();
    let is_own = |run: &str| log_of_run.get(run).is_none_or(|log| *log == own);
    let known = index::Index::new(&history.directory, &history.path).read();
    for line in &lines {
        let (run, attempt) = match line {
            Line::Start(started) => (&started.run, started.attempt),
            Line::End(ended) => (&ended.run, ended.attempt),
        };
        let there =
            known.attempts.iter().any(|(started, _)| started.run == *run && started.attempt == attempt);
        if is_own(run) && !there {
            history.enter(line)?;
        }
    }
    if let Ok(runs) = volume.state.open_dir(RUNS) {
        for (name, _) in runs.entries().map_err(VolumeError::at("list", volume.state_path.join(RUNS)))? {
            if run_of(&name).is_some_and(|run| is_own(&run)) {
                let moved = rename_to_free(&runs, &name, &history.directory, &name);
                moved.map_err(VolumeError::at("bring over", volume.state_path.join(RUNS).join(&name)))?;
            }
        }
        // Others' logs stay until their log is used again.
        let _ = volume.state.remove_dir(RUNS);
    }
    history.directory.sync().map_err(VolumeError::at("sync", &history.path))?;
    if log_of_run.values().all(|log| *log == own) {
        volume.state.unlink(index::NAME).map_err(VolumeError::at("remove", &path))?;
    }
    Ok(())
}

fn run_of(name: &OsStr) -> Option<String> {
    let name: &OsString = &name.to_owned();
    name.to_str()?.strip_suffix(SUFFIX).map(str::to_owned)
}
