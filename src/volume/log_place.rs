//! Handles what is at the log's path when a run begins: this run's log, another run's, the text of the shell one-liner,
//! or a foreign file. Only the first is written to; only our logs and the one-liner's text are ever moved.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FileType, OFlags, Stat};

use super::archive::{bring_back, put_away};
use super::attempt::{Attempt, LogFile};
use super::error::VolumeError;
use super::frames;
use super::history_dir::History;
use super::known::{ADOPTED, known};
use super::paths::{STATE_DIRECTORY, Volume, split};
use super::record::{Ended, Line, Started};
use crate::support::LOG_NAME;
use crate::support::real_path::real;
use crate::support::rooted_dir::Dir;
use crate::support::times;

/// How much of a file is read to tell whether it is text.
const SAMPLE: usize = 64 << 10;

/// Names derived from the log's name are longer by a few bytes, and 255 is the limit (limits.h, `NAME_MAX`).
const LONGEST_NAME: usize = 248;

/// Why the log's path cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogProblem {
    /// A file that is no log of ours.
    #[error("{} exists and is no log of hook-runner", path.display())]
    Foreign { path: PathBuf },
    /// An entry that cannot be a log: a link, a directory, a device.
    #[error("{} is {what}, and a log is a file of its own", path.display())]
    NoFile {
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The path is too long or cannot be resolved.
    #[error("{} cannot be a log: {why}", path.display())]
    Path {
        path: PathBuf,
        /// The reason.
        why: &'static str,
    },
    /// The path cannot be a state directory.
    #[error("{} cannot be the state directory: {why}", path.display())]
    State {
        path: PathBuf,
        /// The reason.
        why: &'static str,
    },
    /// The path is among the runner's own files.
    #[error("{} is among hook-runner's own files", path.display())]
    InState { path: PathBuf },
    /// A file on the volume failed.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// What was done to make room for a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// Nothing: the log was this run's, or there was none.
    AsItWas,
    /// A log was archived or brought back.
    Moved,
    /// What a killed attempt left of its log is no log any more and has this name now.
    SetAside(OsString),
}

enum Found {
    Nothing,
    Empty,
    Ours,
    /// Text under the default name, from before hook-runner was used.
    OneLiner(Box<Started>),
    Foreign,
}

/// Checks the paths before anything is created: refuses foreign files, paths among the runner's own files, and invalid
/// paths.
pub fn check(log: &Path, state: Option<&Path>) -> Result<(), LogProblem> {
    let (path, parent, name) = split(log)?;
    if path.components().any(|part| part.as_os_str() == STATE_DIRECTORY) {
        return Err(LogProblem::InState { path });
    }
    if let Some((path, why)) = state.and_then(|state| Some((state.to_path_buf(), no_state(state, &path)?))) {
        return Err(LogProblem::State { path, why });
    }
    if name.len() > LONGEST_NAME {
        return Err(LogProblem::Path { path, why: "its name is longer than 248 bytes" });
    }
    let Ok(directory) = Dir::open(&parent) else {
        let nearest = parent.ancestors().find(|path| path.symlink_metadata().is_ok());
        if nearest.is_some_and(|path| !path.exists()) {
            return Err(LogProblem::Path { path, why: "its directory is a link to nothing" });
        }
        let goes_up = path.components().any(|part| part == Component::ParentDir);
        let why = "it goes up from a directory that is not there; give it without `..`";
        return if goes_up { Err(LogProblem::Path { path, why }) } else { Ok(()) };
    };
    if let Some(what) = directory.find(&name).ok().flatten().and_then(|stat| no_file(&stat)) {
        return Err(LogProblem::NoFile { path, what });
    }
    match look(&directory, &name) {
        Ok(Found::Foreign) if !is_of_killed_attempt(log, state) => Err(LogProblem::Foreign { path }),
        // Opening it reports the reason.
        _ => Ok(()),
    }
}

/// Makes sure that the log's path is free or holds the log of `run`: archives another run's log, and brings this run's
/// own log back if another ran in between. Says in `attempts` where their bytes are then.
pub fn place(
    volume: &Volume,
    history: &History,
    attempts: &mut [Attempt],
    run: &str,
) -> Result<Placed, LogProblem> {
    let found = look(&volume.directory, &volume.log_name)
        .map_err(VolumeError::at("open the preserved log", &volume.log_path))?;
    let mut placed = Placed::AsItWas;
    match found {
        Found::Foreign if is_lost(attempts) => {
            let kept = volume.directory.set_aside(&volume.log_name);
            placed = Placed::SetAside(kept.map_err(VolumeError::at("set aside", &volume.log_path))?);
        }
        Found::Foreign => return Err(LogProblem::Foreign { path: volume.log_path.clone() }),
        Found::Empty => return Ok(placed),
        Found::Nothing => {}
        Found::OneLiner(started) => {
            put_away(volume, history, &started.run)?;
            let ended = Ended {
                run: started.run.clone(),
                attempt: 1,
                at: started.at.clone(),
                result: ADOPTED.into(),
                ..Ended::default()
            };
            history.enter(&Line::Start(*started))?;
            history.enter(&Line::End(ended))?;
            placed = Placed::Moved;
        }
        Found::Ours => {
            let current = attempts.iter().rfind(|attempt| is_in(attempt, &LogFile::Current));
            let owner = current.map_or("unknown", |attempt| attempt.started.run.as_str());
            if owner == run {
                return Ok(placed);
            }
            let name = put_away(volume, history, owner)?;
            moved(attempts, &LogFile::Current, &LogFile::Archived(name));
            placed = Placed::Moved;
        }
    }
    let last = attempts.iter().rfind(|attempt| attempt.started.run == run);
    if let Some((LogFile::Archived(name), _)) = last.and_then(|attempt| attempt.bytes.clone()) {
        bring_back(volume, history, &name)?;
        moved(attempts, &LogFile::Archived(name), &LogFile::Current);
        placed = Placed::Moved;
    }
    Ok(placed)
}

fn moved(attempts: &mut [Attempt], from: &LogFile, to: &LogFile) {
    for (place, _) in attempts.iter_mut().filter_map(|attempt| attempt.bytes.as_mut()) {
        if place == from {
            place.clone_from(to);
        }
    }
}

/// Whether the history of `log` says that the file under its name is what a killed attempt left. Changes nothing.
fn is_of_killed_attempt(log: &Path, state: Option<&Path>) -> bool {
    let Ok(volume) = Volume::open(log, state) else { return false };
    let history = History::open(&volume).ok().flatten();
    history.is_some_and(|history| is_lost(&known(&volume, Some(&history)).attempts))
}

/// Whether the newest attempt has neither an end nor a log: it was killed after its command, or a power cut, had
/// destroyed the log.
fn is_lost(attempts: &[Attempt]) -> bool {
    attempts.last().is_some_and(|attempt| attempt.ended.is_none() && attempt.bytes.is_none())
}

/// Why `state` cannot be the state directory of `log`; neither has to exist.
fn no_state(state: &Path, log: &Path) -> Option<&'static str> {
    match state.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Some("it is below a file"),
        Err(_) if state.is_symlink() => return Some("it is a link to nothing"),
        Ok(found) if !found.is_dir() => return Some("it is a file"),
        _ => {}
    }
    let (state, log) = (real(state), real(log));
    match () {
        () if state == log => Some("it is the log"),
        () if log.starts_with(&state) => Some("the log is in it"),
        () if state.starts_with(&log) => Some("it is below the log, which is a file"),
        () => None,
    }
}

fn no_file(stat: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Symlink => Some("a symbolic link"),
        FileType::Directory => Some("a directory"),
        FileType::Fifo => Some("a pipe"),
        FileType::Socket => Some("a socket"),
        _ => Some("a device"),
    }
}

fn is_in(attempt: &Attempt, log: &LogFile) -> bool {
    attempt.bytes.as_ref().is_some_and(|(place, _)| place == log)
}

fn look(directory: &Dir, name: &OsStr) -> io::Result<Found> {
    let file = match directory.open_regular(name, OFlags::RDONLY, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        opened => opened?,
    };
    let size = file.metadata()?.len();
    if size == 0 {
        return Ok(Found::Empty);
    }
    if frames::is_log(&file)? {
        return Ok(Found::Ours);
    }
    if name == LOG_NAME && is_text(&file)? {
        let metadata = file.metadata()?;
        let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        return Ok(Found::OneLiner(Box::new(Started {
            run: format!("adopted-{}", metadata.mtime()),
            attempt: 1,
            at: times::of(written),
            log: name.to_string_lossy().into_owned(),
            ..Started::default()
        })));
    }
    Ok(Found::Foreign)
}

/// Whether its first part has no NUL byte.
fn is_text(file: &File) -> io::Result<bool> {
    let mut sample = vec![0; SAMPLE];
    let length = file.read_at(&mut sample, 0)?;
    Ok(!sample[..length].contains(&0))
}
