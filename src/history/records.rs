//! Opens what is read: all histories of a directory, one log with its history, one log alone, or standard input.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;

use super::error::HistoryError;
use super::shard::{group, shard_of};
use crate::support::os::{self, OsStrExt, OsStringExt};
use crate::volume::frames::{self, Frame};
use crate::volume::lock::{self, AtWork};
use crate::volume::record::Started;
use crate::volume::{self, Attempt, Changes, History, LOG_NAME, LogFile, Volume, VolumeError};

/// How often a log is looked for again that was moved while it was opened. Runs in quick succession archive logs every few
/// milliseconds.
const TRIES: usize = 100;

/// One log, with its history where it has one.
#[derive(Debug)]
pub struct Records {
    /// The log's name.
    pub(super) name: OsString,
    /// The same as text, for people.
    pub(super) log: String,
    /// The name that the hook was given: the log's, without the number of a shard.
    pub(super) given: OsString,
    /// In the order of their starts.
    pub(super) attempts: Vec<Attempt>,
    /// Who holds the volume's lock.
    pub(super) at_work: AtWork,
    source: Source,
    /// What could not be read, one sentence each.
    pub problems: Vec<String>,
    /// Some of it is a log, which may have the bytes of an attempt that has none.
    has_unread_logs: bool,
}

#[derive(Debug)]
enum Source {
    Volume(Box<Volume>, Option<History>),
    /// A log without its history: copied off its volume, archived, or from standard input.
    Alone(File),
    /// A log that cannot be read.
    Nothing,
}

/// Opens what belongs to `place`: a directory's histories, a log with its history, a log alone, or standard input (`-`).
pub fn open(place: &Path, state: Option<&Path>) -> Result<Vec<Records>, HistoryError> {
    if place == Path::new("-") {
        let file = os::stdin().and_then(seekable);
        return Ok(vec![Records::alone(file.map_err(VolumeError::at("read", place))?, place)?]);
    }
    let mut records = if place.is_dir() { directory(place, state)? } else { log_and_shards(place, state)? };
    if records.is_empty() {
        // A directory in the place of a log, whose history is beside it.
        let replaced = Volume::open(place, state).map(Records::on).into_iter();
        records = replaced.filter(|records| !records.attempts.is_empty()).collect();
    }
    if records.iter().all(|records| records.attempts.is_empty() && records.problems.is_empty()) {
        return Err(HistoryError::Empty { path: place.to_path_buf() });
    }
    Ok(records)
}

/// The ids of the known runs at `place`, newest first, each with the start of its last attempt.
pub fn run_ids(place: &Path, state: Option<&Path>) -> Vec<(String, String)> {
    let all = open(place, state).unwrap_or_default();
    let attempts = all.iter().flat_map(|records| records.attempts.iter().rev());
    let mut ids: Vec<(String, String)> = Vec::new();
    for started in attempts.map(|attempt| &attempt.started) {
        if !ids.iter().any(|(id, _)| *id == group(&started.run)) {
            ids.push((group(&started.run).to_owned(), started.at.clone()));
        }
    }
    ids.sort_by(|a, b| b.1.cmp(&a.1));
    ids
}

/// Whether hooks were given several logs; the shards of one are one.
pub fn several_logs(all: &[Records]) -> bool {
    all.windows(2).any(|pair| pair[0].given != pair[1].given)
}

/// All logs with a history in the state directory. If that is lost, all logs with the default name.
fn directory(place: &Path, state: Option<&Path>) -> Result<Vec<Records>, HistoryError> {
    let files = files(place)?.into_iter().filter(|name| name.to_string_lossy().starts_with(LOG_NAME));
    let mut names = known(&place.join(LOG_NAME), state)?;
    names.extend(files);
    each(place, names, state)
}

/// A log; of a copy with shards, the log of each shard, as the hook was given the name before `.shard-N`.
fn log_and_shards(path: &Path, state: Option<&Path>) -> Result<Vec<Records>, HistoryError> {
    let (mut all, missing) = match log(path, state) {
        Err(HistoryError::Missing { .. }) => (Vec::new(), true),
        alone => (alone?, false),
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let of_volume = known(path, state).unwrap_or_default();
    let names = of_volume.into_iter().chain(files(listed).unwrap_or_default());
    let own = path.file_name().map(OsStr::as_bytes);
    let is_shard = |other: &OsString| shard_of(other).is_some_and(|(log, _)| Some(log) == own);
    all.extend(each(directory, names.filter(is_shard).collect(), state)?);
    if all.is_empty() && missing {
        return Err(HistoryError::Missing { path: path.to_path_buf() });
    }
    Ok(all)
}

/// The logs of the volume of `log` that have a history.
fn known(log: &Path, state: Option<&Path>) -> Result<Vec<OsString>, HistoryError> {
    match Volume::open(log, state) {
        Ok(volume) => Ok(volume::histories(&volume)),
        Err(error) if error.is_absence() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn files(directory: &Path) -> Result<Vec<OsString>, HistoryError> {
    let entries = std::fs::read_dir(directory).map_err(VolumeError::at("list", directory))?.flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    Ok(files.map(|entry| entry.file_name()).collect())
}

/// These logs of a directory. One that cannot be read does not hide the others.
fn each(place: &Path, names: Vec<OsString>, state: Option<&Path>) -> Result<Vec<Records>, HistoryError> {
    // The tenth shard comes after the second.
    let by_shard = |name: OsString| {
        let shard = shard_of(&name).map(|(log, shard)| (log.to_vec(), Some(shard)));
        (shard.unwrap_or_else(|| (name.as_bytes().to_vec(), None)), name)
    };
    let names: BTreeMap<_, _> = names.into_iter().map(by_shard).collect();
    let mut all = Vec::new();
    for name in names.into_values() {
        match log(&place.join(&name), state) {
            Ok(records) => all.extend(records),
            Err(HistoryError::Volume(error)) => all.push(Records::unreadable(&name, &error)),
            Err(HistoryError::NoLog { .. } | HistoryError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

fn log(path: &Path, state: Option<&Path>) -> Result<Vec<Records>, HistoryError> {
    match Volume::open(path, state) {
        Ok(volume) => {
            let records = Records::on(volume);
            if !records.attempts.is_empty() || !records.problems.is_empty() {
                return Ok(vec![records]);
            }
        }
        Err(error) if error.is_absence() => {}
        Err(error) => return Err(error.into()),
    }
    let file = match os::open_at_once(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(HistoryError::Missing { path: path.to_path_buf() });
        }
        opened => opened.and_then(seekable).map_err(VolumeError::at("open", path))?,
    };
    if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        // A run that is just beginning has made the file and not yet written to it.
        return Ok(Vec::new());
    }
    Ok(vec![Records::alone(file, path)?])
}

/// Reads a pipe into memory, because a log is read from its end backwards.
fn seekable(mut file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    os::let_wait(&file)?;
    let mut memory = os::memory_file()?;
    io::copy(&mut file, &mut memory)?;
    memory.rewind()?;
    Ok(memory)
}

impl Records {
    fn on(volume: Volume) -> Self {
        let (history, problem) = match History::open(&volume) {
            Ok(history) => (history, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let mut known = volume::known(&volume, history.as_ref());
        known.problems.extend(problem);
        Self {
            name: volume.log_name.clone(),
            log: text(&volume.log_name),
            given: given(&volume.log_name),
            attempts: known.attempts,
            problems: known.problems,
            has_unread_logs: known.has_unread_logs,
            at_work: lock::at_work(&volume.state),
            source: Source::Volume(Box::new(volume), history),
        }
    }

    fn alone(file: File, path: &Path) -> Result<Self, HistoryError> {
        let frames = frames::read(&file).map_err(VolumeError::at("read", path))?;
        if frames.is_empty() {
            return Err(HistoryError::NoLog { path: path.to_path_buf() });
        }
        let attempts = frames.into_iter().map(|frame| Attempt {
            started: frame.started.clone(),
            ended: frame.ended.clone(),
            bytes: Some((LogFile::Current, frame)),
        });
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            name: name.to_owned(),
            log: text(name),
            given: given(name),
            attempts: attempts.collect(),
            problems: Vec::new(),
            has_unread_logs: false,
            at_work: AtWork::Unknown,
            source: Source::Alone(file),
        })
    }

    fn unreadable(name: &OsStr, error: &VolumeError) -> Self {
        Self {
            name: name.to_owned(),
            log: text(name),
            given: given(name),
            attempts: Vec::new(),
            problems: vec![error.to_string()],
            has_unread_logs: true,
            at_work: AtWork::Unknown,
            source: Source::Nothing,
        }
    }

    /// The file with the bytes of `attempt`, and its frame in it. The log may be archived while it is opened, so the file is used
    /// only if it holds the attempt's own header. `None`: it is no longer kept.
    pub(super) fn bytes_of(&self, attempt: &Attempt) -> Result<Option<(File, Frame)>, VolumeError> {
        let (volume, history) = match (&self.source, &attempt.bytes) {
            (Source::Alone(file), Some((_, frame))) => {
                let file = file.try_clone().map_err(VolumeError::at("read", &self.log))?;
                return Ok(Some((file, frame.clone())));
            }
            (Source::Alone(_) | Source::Nothing, _) => return Ok(None),
            (Source::Volume(volume, history), _) => (volume, history.as_ref()),
        };
        let mut place = attempt.bytes.clone().map(|(place, _)| place);
        for _ in 0..TRIES {
            let Some(log) = &place else { return Ok(None) };
            match volume::open_log(volume, history, log) {
                Ok(file) => {
                    let frame = volume::frame_of(log, &file, attempt);
                    if let Some(frame) = frame.map_err(VolumeError::at("read", &volume.log_path))? {
                        return Ok(Some((file, frame)));
                    }
                }
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let known = volume::known(volume, history).attempts;
            let found = known.into_iter().find(|known| is_same(&known.started, &attempt.started));
            place = found.and_then(|known| known.bytes).map(|(place, _)| place);
        }
        Ok(None)
    }
}

impl Records {
    /// Why there are no bytes of `attempt`.
    pub(super) fn without_bytes(&self, attempt: &Attempt) -> HistoryError {
        let (run, attempt) = (attempt.started.run.clone(), attempt.started.attempt);
        if self.has_unread_logs {
            HistoryError::Unread { run, attempt }
        } else {
            HistoryError::NotKept { run, attempt }
        }
    }

    /// Where the log is, if it was not given alone.
    pub(super) fn volume(&self) -> Option<&Volume> {
        if let Source::Volume(volume, _) = &self.source { Some(volume) } else { None }
    }

    /// What the copies of `attempt` changed; `None` if no list of it is kept.
    pub(super) fn changes_of(&self, attempt: &Attempt) -> Result<Option<Changes>, VolumeError> {
        let Source::Volume(_, Some(history)) = &self.source else { return Ok(None) };
        history.changes(&attempt.started.run, attempt.started.attempt)
    }
}

fn is_same(this: &Started, that: &Started) -> bool {
    this.run == that.run && this.attempt == that.attempt && this.at == that.at
}

fn given(log: &OsStr) -> OsString {
    shard_of(log).map_or_else(|| log.to_owned(), |(given, _)| OsString::from_vec(given.to_vec()))
}

fn text(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
