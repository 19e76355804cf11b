//! The log's directory and the state directory, opened for reading; `create` opens them for writing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::error::VolumeError;
use crate::support::rooted_dir::{Dir, OFlags};

pub use crate::support::own::STATE_DIRECTORY;

/// The log's directory and the state directory.
#[derive(Debug)]
pub struct Volume {
    /// The directory that holds the log.
    pub directory: Dir,
    /// The log's file name.
    pub log_name: OsString,
    /// The log's path, for messages.
    pub log_path: PathBuf,
    /// The state directory.
    pub state: Dir,
    /// Its path, for messages and for the copy engine.
    pub state_path: PathBuf,
    /// The state directory was given: it may serve logs of several directories.
    pub state_is_elsewhere: bool,
    /// Mode of a new log.
    pub log_mode: u32,
    /// The new name of an entry that was in the state directory's place.
    pub(super) set_aside: Option<OsString>,
}

impl Volume {
    /// Opens the directories for reading. Creates nothing.
    pub fn open(log: &Path, state: Option<&Path>) -> Result<Self, VolumeError> {
        let (log, parent, name) = split(log)?;
        let directory = Dir::open(&parent).map_err(VolumeError::at("open", &parent))?;
        let state_path = state.map_or_else(|| parent.join(STATE_DIRECTORY), Path::to_path_buf);
        let opened = match state {
            Some(path) => Dir::open(path),
            None => directory.open_dir(STATE_DIRECTORY),
        }
        .map_err(VolumeError::at("open", &state_path))?;
        Ok(Self {
            directory,
            log_name: name,
            log_path: log,
            state: opened,
            state_path,
            state_is_elsewhere: state.is_some(),
            log_mode: 0,
            set_aside: None,
        })
    }

    pub fn read_log(&self) -> Result<File, VolumeError> {
        self.directory
            .open_regular(&self.log_name, OFlags::RDONLY, 0)
            .map_err(VolumeError::at("open the preserved log", &self.log_path))
    }
}

/// Splits the path into its absolute form, the parent directory and the name.
pub(super) fn split(log: &Path) -> Result<(PathBuf, PathBuf, OsString), VolumeError> {
    let wrong = |what: &str| VolumeError {
        operation: "use as the preserved log",
        path: log.to_path_buf(),
        source: io::Error::new(io::ErrorKind::InvalidInput, what.to_owned()),
    };
    let log = std::path::absolute(log).map_err(VolumeError::at("resolve", log))?;
    match (log.parent(), log.file_name()) {
        (Some(parent), Some(name)) if name != OsStr::new("..") => {
            Ok((log.clone(), parent.to_path_buf(), name.to_owned()))
        }
        _ => Err(wrong("it names no file")),
    }
}
