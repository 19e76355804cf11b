//! Reading back: the preserved logs and the table of attempts. Reads what `store` wrote; changes nothing.

pub mod logs;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};

use crate::volume::index::{self, Attempt};
use crate::volume::{LOG_NAME, Volume, VolumeError, lock};

/// Why a preserved log cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A file of the store.
    #[error(transparent)]
    Store(#[from] VolumeError),
    /// Nothing was ever written there.
    #[error("there is no run in {}; give the log that a hook was run with, or its directory", path.display())]
    Empty {
        /// Where it was looked.
        path: PathBuf,
    },
    /// No run has this id.
    #[error("no run's id begins with '{id}'; `hook-runner history` lists them")]
    UnknownRun {
        /// As asked.
        id: String,
    },
    /// The run has no such attempt.
    #[error("run {run} has no attempt {attempt}; `hook-runner history` lists them")]
    UnknownAttempt {
        /// The run.
        run: String,
        /// As asked.
        attempt: u32,
    },
    /// What is read cannot be printed.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// A volume, opened for reading, with its attempts.
#[derive(Debug)]
pub struct Records {
    volume: Volume,
    attempts: Vec<Attempt>,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It ended.
    Ended,
    /// It holds the lock.
    Running,
    /// It has no end and nobody holds the lock.
    Interrupted,
}

impl Records {
    /// Opens what belongs to `place`, a log or the directory that holds `post-hook-output.txt`.
    pub fn open(place: &Path, state: Option<&Path>) -> Result<Self, HistoryError> {
        let log = if place.is_dir() { place.join(LOG_NAME) } else { place.to_path_buf() };
        let volume = match Volume::open(&log, state) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                return Err(HistoryError::Empty { path: error.path });
            }
            opened => opened?,
        };
        let attempts = index::read(&volume.state, &volume.state_path)?;
        if attempts.is_empty() {
            return Err(HistoryError::Empty { path: volume.log_path });
        }
        Ok(Self { volume, attempts })
    }

    /// How `attempt` stands now.
    pub fn state(&self, attempt: &Attempt) -> State {
        if attempt.ended.is_some() {
            return State::Ended;
        }
        let last = self.attempts.iter().rfind(|known| known.started.run == attempt.started.run);
        let is_last = last.is_some_and(|last| last.started.attempt == attempt.started.attempt);
        match lock::holder(&self.volume.state) {
            Some(holder) if is_last && holder.run == attempt.started.run => State::Running,
            _ => State::Interrupted,
        }
    }
}

/// The ids of the runs that are known at `place`, the newest first, each with when its last attempt began.
pub fn run_ids(place: &Path, state: Option<&Path>) -> Vec<(String, String)> {
    let Ok(records) = Records::open(place, state) else { return Vec::new() };
    let mut ids: Vec<(String, String)> = Vec::new();
    for attempt in records.attempts.iter().rev() {
        let started = &attempt.started;
        if !ids.iter().any(|(id, _)| *id == started.run) {
            ids.push((started.run.clone(), started.at.clone()));
        }
    }
    ids
}
