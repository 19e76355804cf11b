//! What there is to read: the attempts of one log, or of all logs of a directory, and where their bytes are.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::error::HistoryError;
use crate::volume::lock::{self, AtWork};
use crate::volume::{
    Attempt, History, LOG_NAME, LogFile, STATE_DIRECTORY, Volume, VolumeError, frames, histories, known,
};

/// How often a log is looked for anew that was moved while it was opened.
const TRIES: u32 = 20;

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It ended.
    Ended,
    /// It holds the lock.
    Running,
    /// It has no end and nobody holds the lock.
    Interrupted,
    /// It has no end, and the volume does not tell whether somebody holds the lock.
    Unknown,
}

/// One attempt, and which log it is in.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What is known of it.
    pub attempt: Attempt,
    /// How it stands.
    pub state: State,
    /// Name of the log.
    pub log: String,
    place: usize,
}

/// One log with its history.
#[derive(Debug)]
enum Place {
    /// On a volume, with a state directory.
    Volume { volume: Volume, history: Option<History> },
    /// A file alone: copied off a volume, archived, or piped in.
    Alone(File),
}

/// The attempts that can be read, in the order of their starts.
#[derive(Debug)]
pub struct Records {
    /// The attempts.
    pub entries: Vec<Entry>,
    /// What could not be read, a sentence each.
    pub problems: Vec<String>,
    places: Vec<Place>,
}

impl Records {
    /// Opens what belongs to `path`: a log, a directory with all its logs, or `-` for stdin.
    pub fn open(path: &Path, state: Option<&Path>) -> Result<Self, HistoryError> {
        let mut records = Self { entries: Vec::new(), problems: Vec::new(), places: Vec::new() };
        if path == Path::new("-") {
            records.add_alone(piped()?, "stdin")?;
        } else if path.is_dir() {
            for log in logs_of(path, state) {
                records.add_volume(&log, state);
            }
        } else {
            records.add_volume(path, state);
            if records.entries.is_empty() && path.is_file() {
                let file = File::open(path).map_err(VolumeError::at("open", path))?;
                records.add_alone(file, &path.file_name().unwrap_or_default().to_string_lossy())?;
            }
        }
        if records.entries.is_empty() {
            let path = path.to_path_buf();
            let is_there = path == Path::new("-") || path.exists();
            return Err(if is_there { HistoryError::Empty { path } } else { HistoryError::Missing { path } });
        }
        records.entries.sort_by(|a, b| order(a).cmp(&order(b)));
        Ok(records)
    }

    /// Opens the file with the entry's bytes, for reading; none where they are no longer kept.
    pub fn bytes(&self, entry: &Entry) -> Result<Option<(File, frames::Frame)>, HistoryError> {
        match &self.places[entry.place] {
            Place::Alone(file) => {
                let file = file.try_clone()?;
                Ok(entry.attempt.bytes.clone().map(|(_, frame)| (file, frame)))
            }
            Place::Volume { volume, history } => Ok(find_bytes(volume, history.as_ref(), &entry.attempt)?),
        }
    }

    fn add_volume(&mut self, log: &Path, state: Option<&Path>) {
        let Ok(volume) = Volume::open(log, state) else { return };
        let history = History::open(&volume);
        let found = known(&volume, history.as_ref());
        self.problems.extend(found.problems);
        let at_work = lock::at_work(&volume.state);
        let name = volume.log_name.to_string_lossy().into_owned();
        let last = found.attempts.len().saturating_sub(1);
        for (number, attempt) in found.attempts.into_iter().enumerate() {
            let state = state_of(&attempt, &at_work, number == last);
            self.entries.push(Entry { attempt, state, log: name.clone(), place: self.places.len() });
        }
        self.places.push(Place::Volume { volume, history });
    }

    fn add_alone(&mut self, file: File, name: &str) -> Result<(), HistoryError> {
        for frame in frames::read(&file)? {
            let attempt = Attempt {
                started: frame.started.clone(),
                ended: frame.ended.clone(),
                bytes: Some((LogFile::Current, frame)),
            };
            let state = if attempt.ended.is_some() { State::Ended } else { State::Interrupted };
            self.entries.push(Entry { attempt, state, log: name.to_owned(), place: self.places.len() });
        }
        self.places.push(Place::Alone(file));
        Ok(())
    }
}

/// A log is moved when another run begins, so what is opened is checked, and looked for anew.
fn find_bytes(
    volume: &Volume,
    history: Option<&History>,
    attempt: &Attempt,
) -> Result<Option<(File, frames::Frame)>, VolumeError> {
    let mut place = attempt.bytes.clone();
    for _ in 0..TRIES {
        let Some((log, frame)) = place else { return Ok(None) };
        let file = match (&log, history) {
            (LogFile::Archived(_), Some(history)) => history.open_log(volume, &log),
            _ => volume.read_log(),
        };
        match file {
            Ok(file) if frames::is_there(&file, &frame).unwrap_or(false) => return Ok(Some((file, frame))),
            Err(error) if error.source.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let again = known(volume, History::open(volume).as_ref()).attempts;
        let same = again.into_iter().find(|other| other.started == attempt.started);
        place = same.and_then(|attempt| attempt.bytes);
    }
    Ok(None)
}

fn state_of(attempt: &Attempt, at_work: &AtWork, is_last: bool) -> State {
    match at_work {
        _ if attempt.ended.is_some() => State::Ended,
        AtWork::Yes(holder) if is_last && is_of(&holder.run, &attempt.started.run) => State::Running,
        AtWork::Unknown if is_last => State::Unknown,
        _ => State::Interrupted,
    }
}

/// Shards share the lock, which names the last of them.
fn is_of(holder: &str, run: &str) -> bool {
    let group = |run: &str| run.rsplit_once(".shard-").map(|(group, _)| group.to_owned());
    holder == run || (group(holder).is_some() && group(holder) == group(run))
}

fn order(entry: &Entry) -> (&str, u64) {
    (&entry.attempt.started.at, entry.attempt.started.seq)
}

/// The logs that the histories of a directory name, the default one, and logs without a history.
fn logs_of(directory: &Path, state: Option<&Path>) -> Vec<PathBuf> {
    let default = directory.join(LOG_NAME);
    let mut logs = Volume::open(&default, state).map(|volume| histories(&volume)).unwrap_or_default();
    if !logs.iter().any(|name| name == LOG_NAME) {
        logs.push(LOG_NAME.into());
    }
    // The state directory was removed, or the log came from elsewhere.
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_log = || File::open(entry.path()).and_then(|file| frames::is_log(&file)).unwrap_or(false);
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && name != STATE_DIRECTORY && !logs.contains(&name) && is_log() {
            logs.push(name);
        }
    }
    logs.sort();
    logs.into_iter().map(|name| directory.join(name)).collect()
}

/// stdin, as a file that can be read from its end.
fn piped() -> Result<File, HistoryError> {
    let memory = rustix::fs::memfd_create("log", rustix::fs::MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
    let mut file = File::from(memory);
    io::copy(&mut io::stdin().lock(), &mut file)?;
    Ok(file)
}

/// The ids of the runs that are known at `path`, the newest first, each with when its last attempt began.
pub fn run_ids(path: &Path, state: Option<&Path>) -> Vec<(String, String)> {
    let Ok(records) = Records::open(path, state) else { return Vec::new() };
    let mut ids: Vec<(String, String)> = Vec::new();
    for entry in records.entries.iter().rev() {
        let started = &entry.attempt.started;
        if !ids.iter().any(|(id, _)| *id == started.run) {
            ids.push((started.run.clone(), started.at.clone()));
        }
    }
    ids
}
