//! The history of one preserved log: its directory in the state directory, and all attempts that the log, its archived
//! logs and the index know. What a log says wins over the index.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};

use super::error::VolumeError;
use super::frames::{self, Frame};
use super::index::Index;
use super::paths::{Volume, create_state};
use super::record::{Ended, Line, Started};
use crate::support::rooted_dir::Dir;
use crate::support::times;

/// Holds a directory for each log name.
const DIRECTORY: &str = "histories";
/// How the name of an archived log ends.
pub(super) const SUFFIX: &str = ".log";
/// The result of a run that was not ours.
pub(super) const ADOPTED: &str = "adopted";
/// Longer names of logs are cut, and told apart by a hash.
const LONGEST_NAME: usize = 180;

/// Which file holds an attempt's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFile {
    /// The log itself.
    Current,
    /// An archived log of this name.
    Archived(OsString),
}

/// One attempt of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// How it started.
    pub started: Started,
    /// How it ended; an attempt that was killed has no end.
    pub ended: Option<Ended>,
    /// Where its bytes are; none when they are no longer kept.
    pub bytes: Option<(LogFile, Frame)>,
}

/// What is known of a history.
#[derive(Debug, Default)]
pub struct Known {
    /// In the order of their starts.
    pub attempts: Vec<Attempt>,
    /// What could not be read, a sentence each.
    pub problems: Vec<String>,
}

/// The history of one log.
#[derive(Debug)]
pub struct History {
    pub(super) directory: Dir,
    pub(super) path: PathBuf,
}

impl History {
    /// Opens the history of the volume's log, making it where it is missing.
    pub fn create(volume: &Volume) -> Result<Self, VolumeError> {
        let relative = Path::new(DIRECTORY).join(key(volume));
        let path = volume.state_path.join(&relative);
        let made = create_state(&volume.state, Path::new(DIRECTORY))
            .and_then(|_| create_state(&volume.state, &relative));
        let directory = made.map_err(VolumeError::at("create", &path))?;
        Ok(Self { directory, path })
    }

    /// Opens it for reading; none where there is none.
    pub fn open(volume: &Volume) -> Option<Self> {
        let relative = Path::new(DIRECTORY).join(key(volume));
        let directory = volume.state.open_dir(&relative).ok()?;
        Some(Self { directory, path: volume.state_path.join(relative) })
    }

    /// Enters a line in the index.
    pub fn enter(&self, line: &Line) -> Result<(), VolumeError> {
        Index::new(&self.directory, &self.path).append(line)
    }

    /// Keeps the index from growing without bound.
    pub fn trim(&self) -> Result<(), VolumeError> {
        Index::new(&self.directory, &self.path).trim()
    }

    /// Opens the file of `log` for reading.
    pub fn open_log(&self, volume: &Volume, log: &LogFile) -> Result<File, VolumeError> {
        let (directory, name, path) = match log {
            LogFile::Current => (&volume.directory, volume.log_name.as_os_str(), volume.log_path.clone()),
            LogFile::Archived(name) => (&self.directory, name.as_os_str(), self.path.join(name)),
        };
        directory
            .open_regular(name, OFlags::RDONLY, 0)
            .map_err(VolumeError::at("open the preserved log", path))
    }

    /// The archived logs.
    pub(super) fn archived(&self) -> Result<Vec<OsString>, VolumeError> {
        let entries = self.directory.entries().map_err(VolumeError::at("list", &self.path))?;
        let is_log = |name: &OsStr, kind| {
            name.as_bytes().ends_with(SUFFIX.as_bytes()) && kind == FileType::RegularFile
        };
        Ok(entries.into_iter().filter(|(name, kind)| is_log(name, *kind)).map(|(name, _)| name).collect())
    }
}

/// All attempts of the volume's log, from the log, its archived logs and the index. Nothing that cannot be read ends this.
pub fn known(volume: &Volume, history: Option<&History>) -> Known {
    let mut known = Known::default();
    let mut logs = vec![LogFile::Current];
    if let Some(history) = history {
        match history.archived() {
            Ok(names) => logs.extend(names.into_iter().map(LogFile::Archived)),
            Err(error) => known.problems.push(error.to_string()),
        }
    }
    for log in logs {
        let file = match (&log, history) {
            (LogFile::Archived(_), Some(history)) => history.open_log(volume, &log),
            _ => volume.read_log(),
        };
        match file.and_then(|file| read(volume, file)) {
            Ok((frames, file)) if frames.is_empty() => known.attempts.extend(adopted(&log, &file)),
            Ok((frames, _)) => known.attempts.extend(frames.into_iter().map(|frame| Attempt {
                started: frame.started.clone(),
                ended: frame.ended.clone(),
                bytes: Some((log.clone(), frame)),
            })),
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => known.problems.push(error.to_string()),
        }
    }
    if let Some(history) = history {
        let entries = Index::new(&history.directory, &history.path).read();
        if entries.unreadable > 0 {
            let (lines, path) = (entries.unreadable, history.path.join(super::index::NAME));
            known.problems.push(format!("{lines} lines of {} cannot be read", path.display()));
        }
        entries.attempts.into_iter().for_each(|entry| add(&mut known.attempts, entry));
    }
    known.attempts.sort_by(|a, b| order(&a.started).cmp(&order(&b.started)));
    known
}

fn read(volume: &Volume, file: File) -> Result<(Vec<Frame>, File), VolumeError> {
    let frames = frames::read(&file).map_err(VolumeError::at("read", &volume.log_path))?;
    Ok((frames, file))
}

/// An archived file without a frame is what the shell one-liner had left; its name is the run's.
fn adopted(log: &LogFile, file: &File) -> Option<Attempt> {
    let LogFile::Archived(name) = log else { return None };
    let run = name.to_str()?.strip_suffix(SUFFIX)?.to_owned();
    let metadata = file.metadata().ok()?;
    let (at, end) = (times::of(metadata.modified().ok()?), metadata.len());
    let started = Started { run: run.clone(), attempt: 1, at: at.clone(), ..Started::default() };
    let ended = Ended { run, attempt: 1, at, result: ADOPTED.into(), output: end, ..Ended::default() };
    let frame = Frame { started: started.clone(), ended: Some(ended.clone()), start: 0, output: 0..end, end };
    Some(Attempt { started, ended: Some(ended), bytes: Some((log.clone(), frame)) })
}

/// What the index says is added to what the logs say: attempts whose log is gone, and ends that no footer could be
/// written for, or that turned out to be none after the footer was written.
fn add(attempts: &mut Vec<Attempt>, (started, ended): (Started, Option<Ended>)) {
    let same = |known: &&mut Attempt| {
        let other = &known.started;
        other.run == started.run && other.attempt == started.attempt && other.at == started.at
    };
    match (attempts.iter_mut().find(same), ended) {
        (None, ended) => attempts.push(Attempt { started, ended, bytes: None }),
        (Some(known), Some(ended)) => {
            let succeeded = known.ended.as_ref().is_none_or(|known| known.status == 0);
            if succeeded && (known.ended.is_none() || ended.status != 0) {
                known.ended = Some(ended);
            }
        }
        (Some(_), None) => {}
    }
}

fn order(started: &Started) -> (u64, &str, u64) {
    (started.seq, &started.at, started.offset)
}

/// The state directories' histories: the name of each log and its directory's name.
pub fn histories(volume: &Volume) -> Vec<OsString> {
    let Ok(directory) = volume.state.open_dir(DIRECTORY) else { return Vec::new() };
    let entries = directory.entries().unwrap_or_default();
    let directories = entries.into_iter().filter(|(_, kind)| *kind == FileType::Directory);
    let mut names: Vec<OsString> = directories.filter_map(|(name, _)| decoded(&name)).collect();
    names.sort();
    names
}

/// The directory of a log's history. A state directory that was given may serve logs of one name in several directories:
/// there the directory's inode is a part of the key.
fn key(volume: &Volume) -> OsString {
    let mut key = encoded(&volume.log_name);
    if volume.state_is_elsewhere
        && let Ok(stat) = volume.directory.stat()
    {
        key.push(format!("@{:x}", stat.st_ino));
    }
    key
}

/// Each byte that is not plain becomes `%` and two digits, so that no two names meet.
fn encoded(name: &OsStr) -> OsString {
    let mut text = String::new();
    for &byte in name.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || byte == b'.' && !text.is_empty() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    if text.len() > LONGEST_NAME {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        text.truncate(LONGEST_NAME);
        text = format!("{text}%%{}", &hash[..16]);
    }
    text.into()
}

/// The log's name; none where it was cut.
fn decoded(name: &OsStr) -> Option<OsString> {
    let name = name.as_bytes().split(|&byte| byte == b'@').next()?;
    let mut bytes = Vec::new();
    let mut rest = name.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [*rest.next()?, *rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    Some(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_of_logs_share_a_history() {
        let long = "x".repeat(200);
        let names = ["a.txt", "A.txt", "a%2etxt", ".a", "a b", "a\u{fffd}", &long, &(long.clone() + "y")];
        let mut keys: Vec<OsString> = names.iter().map(|name| encoded(OsStr::new(name))).collect();
        keys.push(encoded(OsStr::from_bytes(b"a\xff")));
        for key in &keys {
            assert!(key.len() < 255 && !key.as_bytes().starts_with(b"."), "{key:?}");
        }
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn a_name_is_read_back_from_its_key() {
        for name in [&b"a.txt"[..], b".a", b"a b", b"a\xff", b"%"] {
            assert_eq!(decoded(&encoded(OsStr::from_bytes(name))), Some(OsStr::from_bytes(name).to_owned()));
        }
    }
}
