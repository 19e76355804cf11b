//! The history of one preserved log: its own directory in the state directory, with the index and the archived logs.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::attempt::Attempt;
use super::error::VolumeError;
use super::index::{self, Index};
use super::paths::Volume;
use super::record::Line;
use crate::support::os::{OsStrExt, OsStringExt};
use crate::support::own::{HISTORIES, decoded, encoded};
use crate::support::rooted_dir::{Dir, FileType, OFlags};

/// The suffix of archived logs.
pub(super) const SUFFIX: &str = ".log";
/// The file with the log's name, if the directory's name holds only its beginning.
const NAME: &str = "name";

#[derive(Debug)]
pub struct History {
    pub(super) directory: Dir,
    pub(super) path: PathBuf,
}

impl History {
    /// Opens the history of the volume's log, creating it if missing.
    pub fn create(volume: &Volume) -> Result<Self, VolumeError> {
        let key = key(volume);
        let path = volume.state_path.join(HISTORIES).join(&key);
        let others = volume.state.stat().is_ok_and(|stat| stat.st_mode & 0o004 != 0);
        let histories = volume.state.open_own_dir(HISTORIES, others);
        let made = histories.and_then(|(histories, _)| histories.open_own_dir(&key, others));
        let (directory, _) = made.map_err(VolumeError::at("create", &path))?;
        if decoded(&key).is_none() {
            write_name(&directory, &volume.log_name).map_err(VolumeError::at("write to", path.join(NAME)))?;
        }
        Ok(Self { directory, path })
    }

    /// Opens it for reading; `None` if there is none.
    pub fn open(volume: &Volume) -> Result<Option<Self>, VolumeError> {
        let key = key(volume);
        let path = volume.state_path.join(HISTORIES).join(&key);
        // Name by name: a link in a directory's place is ENOTDIR then.
        let opened = volume.state.open_dir(HISTORIES).and_then(|histories| histories.open_dir(&key));
        match opened.map_err(VolumeError::at("open", &path)) {
            Err(error) if error.is_absence() => Ok(None),
            opened => opened.map(|directory| Some(Self { directory, path })),
        }
    }

    /// Adds a line to the index.
    pub fn enter(&self, line: &Line) -> Result<(), VolumeError> {
        Index::new(&self.directory, &self.path).append(std::slice::from_ref(line))
    }

    /// Makes a lost or damaged index anew; what is to be said of it.
    pub fn mend(&self, attempts: &[Attempt]) -> Result<Option<String>, VolumeError> {
        let aside = Index::new(&self.directory, &self.path).mend(attempts)?;
        let path = self.path.join(index::NAME);
        let told = |aside: OsString| {
            format!("{} is made anew; what stood there is {} now", path.display(), aside.display())
        };
        Ok(aside.map(told))
    }

    /// Limits the size of the index.
    pub fn trim(&self) -> Result<(), VolumeError> {
        Index::new(&self.directory, &self.path).trim()
    }

    /// The names of the archived logs.
    pub(super) fn archived(&self) -> Result<Vec<OsString>, VolumeError> {
        let entries = self.directory.entries().map_err(VolumeError::at("list", &self.path))?;
        let is_log = |name: &OsStr, kind| {
            name.as_bytes().ends_with(SUFFIX.as_bytes()) && kind == FileType::RegularFile
        };
        Ok(entries.into_iter().filter(|(name, kind)| is_log(name, *kind)).map(|(name, _)| name).collect())
    }
}

/// The names of all logs that have a history.
pub(super) fn logs_with_history(volume: &Volume) -> Vec<OsString> {
    let entries = volume.state.open_dir(HISTORIES).and_then(|directory| directory.entries());
    let directories =
        entries.unwrap_or_default().into_iter().filter(|(_, kind)| *kind == FileType::Directory);
    let name_of = |name: OsString| decoded(&name).or_else(|| read_name(volume, &name));
    directories.filter_map(|(name, _)| name_of(name)).collect()
}

/// Writes a long name to a file, because the directory's name holds only its beginning.
fn write_name(directory: &Dir, name: &OsStr) -> io::Result<()> {
    let mut file = directory.open_own(NAME, OFlags::WRONLY)?;
    file.write_all(name.as_bytes())
}

fn read_name(volume: &Volume, directory: &OsStr) -> Option<OsString> {
    let path = Path::new(HISTORIES).join(directory).join(NAME);
    let file = volume.state.open_regular(path, OFlags::RDONLY, 0).ok()?;
    let mut name = Vec::new();
    // NAME_MAX (limits.h).
    file.take(255).read_to_end(&mut name).ok()?;
    Some(OsString::from_vec(name)).filter(|name| !name.is_empty())
}

/// The directory name of a log's history. A state directory given with `--state` may serve logs of the same name in
/// several directories, so the directory's path is part of the key. (Two volumes may have the same inode number for
/// their roots, so the inode is no key.)
fn key(volume: &Volume) -> OsString {
    let mut key = encoded(&volume.log_name);
    if volume.state_is_elsewhere {
        let directory = volume.log_path.parent().unwrap_or(Path::new("/"));
        key.push(format!("@{}", &blake3::hash(directory.as_os_str().as_bytes()).to_hex()[..16]));
    }
    key
}
