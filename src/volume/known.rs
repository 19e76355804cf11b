//! All attempts known from a log, its archived logs and the index. The logs are the truth: the index only adds attempts
//! whose log is gone, and ends without a footer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use super::attempt::{Attempt, LogFile};
use super::bring_over::{RUNS, old, old_logs};
use super::error::VolumeError;
use super::frames::{self, Frame};
use super::history_dir::{History, SUFFIX, logs_with_history};
use super::index::{self, Index};
use super::paths::Volume;
use super::record::{Ended, Started};
use crate::support::rooted_dir::{Dir, OFlags};
use crate::support::times;

/// How often to look again at logs that are being moved.
const TRIES: usize = 100;
/// The result of a text from before hook-runner was used.
pub(super) const ADOPTED: &str = "adopted";

#[derive(Debug, Default)]
pub struct Known {
    /// In order of their starts.
    pub attempts: Vec<Attempt>,
    /// A sentence for each thing that could not be read.
    pub problems: Vec<String>,
    /// A log could not be read, so that an attempt without bytes may have some there.
    pub has_unread_logs: bool,
    /// The index has lines, and each can be read.
    pub index_is_whole: bool,
}

impl Known {
    fn has_not_read(&mut self, error: &VolumeError) {
        self.problems.push(error.to_string());
        self.has_unread_logs = true;
    }
}

/// All attempts of the volume's log, from the log, its archived logs and the index. Goes on past unreadable files. If
/// another run moves logs meanwhile, looks again.
pub fn known(volume: &Volume, history: Option<&History>) -> Known {
    for _ in 0..TRIES {
        let before = logs_now(volume, history);
        let known = known_now(volume, history);
        if before == logs_now(volume, history) {
            return known;
        }
    }
    known_now(volume, history)
}

/// The inode of each log name of the history.
fn logs_now(volume: &Volume, history: Option<&History>) -> Vec<(OsString, u64)> {
    let inode =
        |directory: &Dir, name: &OsString| directory.find(name).ok().flatten().map_or(0, |stat| stat.st_ino);
    let mut logs = vec![(OsString::new(), inode(&volume.directory, &volume.log_name))];
    if let Some(history) = history {
        let names = history.archived().unwrap_or_default();
        logs.extend(names.into_iter().map(|name| (name.clone(), inode(&history.directory, &name))));
        logs.sort();
    }
    logs
}

fn known_now(volume: &Volume, history: Option<&History>) -> Known {
    let mut known = Known::default();
    let old = old(volume);
    // Before the logs: an attempt is in its log first, and ends there first.
    let mut entries = index::joined(old.lines).attempts;
    if let Some(history) = history {
        match Index::new(&history.directory, &history.path).read() {
            Ok(index) => {
                known.problems.extend(unreadable(index.unreadable, history));
                known.index_is_whole = index.unreadable == 0 && !index.attempts.is_empty();
                entries.extend(index.attempts);
            }
            Err(error) => known.problems.push(error.to_string()),
        }
    }
    // Where in `attempts` each is.
    let mut places = HashMap::new();
    let mut logs = vec![LogFile::Current];
    logs.extend(old.runs.into_iter().map(LogFile::Old));
    if let Some(history) = history {
        match history.archived() {
            Ok(names) => logs.extend(names.into_iter().map(LogFile::Archived)),
            Err(error) => known.has_not_read(&error),
        }
    }
    for log in logs {
        let file = open_log(volume, history, &log);
        match file.and_then(|file| in_log(&log, &file).map_err(VolumeError::at("read", &volume.log_path))) {
            Ok(attempts) => {
                for attempt in attempts {
                    // A log that was copied back may hold the same attempts as an archived one.
                    if let Entry::Vacant(place) = places.entry(identity(&attempt.started)) {
                        place.insert(known.attempts.len());
                        known.attempts.push(attempt);
                    }
                }
            }
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => known.has_not_read(&error),
        }
    }
    for (started, ended) in entries {
        match places.entry(identity(&started)) {
            Entry::Occupied(place) => add(&mut known.attempts[*place.get()], started, ended),
            Entry::Vacant(place) => {
                place.insert(known.attempts.len());
                known.attempts.push(Attempt { started, ended, bytes: None });
            }
        }
    }
    known.attempts.sort_by(|a, b| order(&a.started).cmp(&order(&b.started)));
    known
}

fn unreadable(lines: usize, history: &History) -> Option<String> {
    let lines = match lines {
        0 => return None,
        1 => "1 line".to_owned(),
        lines => format!("{lines} lines"),
    };
    Some(format!("{lines} of {} cannot be read", history.path.join(index::NAME).display()))
}

/// The attempts in a log.
fn in_log(log: &LogFile, file: &File) -> std::io::Result<Vec<Attempt>> {
    let mut frames = frames::read(file)?;
    if frames.is_empty() {
        frames.extend(adopted(log, file)?);
    }
    let attempt = |frame: Frame| Attempt {
        started: frame.started.clone(),
        ended: frame.ended.clone(),
        bytes: Some((log.clone(), frame)),
    };
    Ok(frames.into_iter().map(attempt).collect())
}

/// The text that the shell one-liner left, recognized by its archived name: it has no frames.
fn adopted(log: &LogFile, file: &File) -> std::io::Result<Option<Frame>> {
    let LogFile::Archived(name) = log else { return Ok(None) };
    let run = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|run| run.starts_with(ADOPTED));
    let Some(run) = run.map(str::to_owned) else { return Ok(None) };
    let metadata = file.metadata()?;
    let at = times::of(metadata.modified()?);
    let end = metadata.len();
    let started = Started { run: run.clone(), attempt: 1, at: at.clone(), ..Started::default() };
    let ended = Ended { run, attempt: 1, at, result: ADOPTED.into(), output: end, ..Ended::default() };
    Ok(Some(Frame { started, ended: Some(ended), start: 0, output: 0..end, closed: end, end }))
}

/// Adds what only the index knows of an attempt: an end that has no footer or that turned out to be wrong after the footer
/// was written.
fn add(known: &mut Attempt, started: Started, ended: Option<Ended>) {
    if known.started.format == 0 {
        // Frames of version 0.1 hold less than its index.
        let status = |ended: &Option<Ended>| ended.as_ref().map(|ended| ended.status);
        let agrees = status(&known.ended) == status(&ended);
        known.started = Started { offset: known.started.offset, ..started };
        if agrees || known.ended.is_none() {
            known.ended = ended;
        }
        return;
    }
    let Some(ended) = ended else { return };
    let succeeded = known.ended.as_ref().is_none_or(|known| known.status == 0);
    if succeeded && (known.ended.is_none() || ended.status != 0) {
        known.ended = Some(ended);
    }
}

fn identity(started: &Started) -> (String, u32, String) {
    (started.run.clone(), started.attempt, started.at.clone())
}

fn order(started: &Started) -> (u64, &str, u64) {
    (started.seq, &started.at, started.offset)
}

pub fn open_log(volume: &Volume, history: Option<&History>, log: &LogFile) -> Result<File, VolumeError> {
    match (log, history) {
        (LogFile::Old(name), _) => {
            let path = Path::new(RUNS).join(name);
            let file = volume.state.open_regular(&path, OFlags::RDONLY, 0);
            file.map_err(VolumeError::at("open the preserved log", volume.state_path.join(path)))
        }
        (LogFile::Archived(name), Some(history)) => {
            let file = history.directory.open_regular(name, OFlags::RDONLY, 0);
            file.map_err(VolumeError::at("open the preserved log", history.path.join(name)))
        }
        _ => volume.read_log(),
    }
}

/// Where the attempt is in `file`, which was opened as `log`; `None` if it belongs to another log.
pub fn frame_of(log: &LogFile, file: &File, attempt: &Attempt) -> std::io::Result<Option<Frame>> {
    let started = &attempt.started;
    let same = |known: &Attempt| {
        let other = &known.started;
        other.run == started.run && other.attempt == started.attempt && other.at == started.at
    };
    let found = in_log(log, file)?.into_iter().find(same);
    Ok(found.and_then(|attempt| attempt.bytes).map(|(_, frame)| frame))
}

/// The names of all logs in the volume's directory that have a history.
pub fn histories(volume: &Volume) -> Vec<OsString> {
    let mut names = old_logs(volume);
    names.extend(logs_with_history(volume));
    names.into_iter().collect()
}
