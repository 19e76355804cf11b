//! Opens the log's directory and the state directory for writing.
//!
//! Up to the mount point, the log's path is the hook author's, and links in it are followed. Below the mount point it
//! is on the volume, where anybody may have planted a link, and none is followed.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use super::error::VolumeError;
use super::paths::{STATE_DIRECTORY, Volume, split};
use crate::support::rooted_dir::{Dir, OFlags, state_mode};

impl Volume {
    /// Opens the directories for writing and creates what is missing, with permission for the volume's group whatever
    /// the umask. `log_mode` is the mode of a new log; others who may read the log may also read the state.
    pub fn create(log: &Path, state: Option<&Path>, log_mode: u32) -> Result<Self, VolumeError> {
        let (log, parent, name) = split(log)?;
        let others = log_mode & 0o004 != 0;
        // It may be the destination of a copy, which would inherit a setgid bit.
        let directory = open_or_create(&parent, 0o775)?;
        let state_path = state.map_or_else(|| parent.join(STATE_DIRECTORY), Path::to_path_buf);
        let mut set_aside = None;
        let opened = if let Some(path) = state {
            open_or_create(path, state_mode(others))?
        } else {
            let made = directory.open_own_dir(STATE_DIRECTORY, others);
            let (opened, in_the_way) = made.map_err(VolumeError::at("create", &state_path))?;
            set_aside = in_the_way;
            opened
        };
        Ok(Self {
            directory,
            log_name: name,
            log_path: log,
            state: opened,
            state_path,
            state_is_elsewhere: state.is_some(),
            log_mode,
            set_aside,
        })
    }

    /// Opens the log for appending, creating it if missing; returns its size too. If it has other hard links, because a
    /// user linked it to keep it, it is replaced by a copy first: what a user keeps is never written to.
    pub fn open_log(&self) -> Result<(File, u64), VolumeError> {
        let unshared = self.workshop().and_then(|workshop| self.directory.unshare(&self.log_name, workshop));
        unshared.map_err(VolumeError::at("make a file of its own of", &self.log_path))?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
        let is_new = matches!(self.directory.find(&self.log_name), Ok(None));
        let opened = self.directory.open_regular_stat(&self.log_name, flags, self.log_mode);
        let (file, stat) = opened.map_err(VolumeError::at("open the preserved log", &self.log_path))?;
        if is_new {
            // Overrides the umask. A volume that refuses modes has its own.
            let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(self.log_mode));
        }
        Ok((file, u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// A sentence about an entry that was in the state directory's place.
    pub fn moved_aside(&self) -> Option<String> {
        let kept = self.set_aside.as_ref()?.to_string_lossy();
        let state = self.state_path.display();
        Some(format!("{state} was no directory and is {kept} now; logs and history of earlier runs are gone"))
    }

    /// The directory for files that are then renamed to the log's name.
    pub(super) fn workshop(&self) -> io::Result<&Dir> {
        Ok(if self.state.is_on_mount_of(&self.directory)? { &self.state } else { &self.directory })
    }
}

/// Opens `path`, following links up to the deepest existing directory, and creates what is missing below.
fn open_or_create(path: &Path, mode: u32) -> Result<Dir, VolumeError> {
    let path = std::path::absolute(path).map_err(VolumeError::at("resolve", path))?;
    // Without any link on the way, the mount point does not matter.
    if let Some(dir) = Dir::open_without_links(&path) {
        return Ok(dir);
    }
    let base = mount_point(&path);
    let below = path.strip_prefix(&base).unwrap_or(Path::new(""));
    let dir = Dir::open(&base).map_err(VolumeError::at("open", &base))?;
    dir.open_or_create_dirs(below, mode).map_err(VolumeError::at("open the directory", &path))
}

/// Where the volume begins: the topmost existing ancestor on the same device as the deepest existing one. On the root
/// filesystem, which is no volume, the deepest existing one itself.
fn mount_point(path: &Path) -> PathBuf {
    let mut existing =
        path.ancestors().filter_map(|at| std::fs::metadata(at).ok().map(|meta| (at, meta.dev())));
    let Some((deepest, device)) = existing.next() else { return PathBuf::from("/") };
    if std::fs::metadata("/").is_ok_and(|root| root.dev() == device) {
        return deepest.to_path_buf();
    }
    existing.take_while(|(_, dev)| *dev == device).last().map_or(deepest, |(at, _)| at).to_path_buf()
}
