//! The logs of earlier runs: `runs/<id>.log` in the state directory. A log moves there when a new run starts,
//! comes back when its run is retried, and goes when there are too many.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{Volume, VolumeError};
use crate::support::rooted_dir::Dir;

/// Name of the directory in the state directory.
pub const DIRECTORY: &str = "runs";

/// The archived log's name.
pub fn name(run: &str) -> String {
    format!("{run}.log")
}

/// Seconds since 1970 and nanoseconds.
type Timestamp = (i64, u32);

/// The directory of the logs of earlier runs.
#[derive(Debug)]
pub struct Archive<'a> {
    volume: &'a Volume,
    runs: Dir,
    path: PathBuf,
}

impl<'a> Archive<'a> {
    /// Opens the directory, making it where it is missing.
    pub fn open(volume: &'a Volume) -> Result<Self, VolumeError> {
        let path = volume.state_path.join(DIRECTORY);
        let runs = volume.state.create_dir_all(DIRECTORY, 0o750).map_err(VolumeError::at("create", &path))?;
        Ok(Self { volume, runs, path })
    }

    /// Moves the current log, which belongs to `run`, among the earlier ones. The log's directory is still to be synced.
    pub fn put_away(&self, run: &str) -> Result<(), VolumeError> {
        let volume = self.volume;
        shift(&volume.directory, &volume.log_name, &self.runs, OsStr::new(&name(run)), &self.runs)
            .map_err(VolumeError::at("archive", &volume.log_path))
    }

    /// Brings the log of `run` back as the current one; false when there is none. The log's directory is still to be synced.
    pub fn bring_back(&self, run: &str) -> Result<bool, VolumeError> {
        let name = name(run);
        let volume = self.volume;
        match shift(&self.runs, OsStr::new(&name), &volume.directory, &volume.log_name, &self.runs) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(VolumeError::at("bring back", self.path.join(name))(error)),
        }
    }

    /// Removes the oldest logs until at most `runs` of them with at most `bytes` in all are left. Returns how many went.
    pub fn prune(&self, runs: usize, bytes: u64) -> Result<usize, VolumeError> {
        let list = || -> io::Result<Vec<(Timestamp, OsString, u64)>> {
            let mut logs = Vec::new();
            for (name, _) in self.runs.entries()? {
                let Some(stat) = self.runs.find(&name)? else { continue };
                if name.as_bytes().ends_with(b".log") {
                    let written = (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0));
                    logs.push((written, name, u64::try_from(stat.st_size).unwrap_or(0)));
                }
            }
            // Newest first; what has the same time is taken in the order of names.
            logs.sort_by(|a, b| b.cmp(a));
            Ok(logs)
        };
        let (mut kept, mut size, mut removed) = (0, 0_u64, 0);
        for (_, name, length) in list().map_err(VolumeError::at("list", &self.path))? {
            if kept < runs && size.saturating_add(length) <= bytes {
                kept += 1;
                size += length;
                continue;
            }
            self.runs.unlink(&name).map_err(VolumeError::at("remove", self.path.join(&name)))?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// rename(2), made durable in the `archive`, which is one of the two; where the two directories are on different mounts (`--state`), a copy that is durable before the
/// original goes.
fn shift(from: &Dir, name: &OsStr, to: &Dir, new_name: &OsStr, archive: &Dir) -> io::Result<()> {
    match from.rename(name, to, new_name) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        done => return done.and_then(|()| archive.sync()),
    }
    let mut source = from.open_regular(name, OFlags::RDONLY, 0)?;
    let temporary = Path::new(new_name).with_extension("moving");
    to.remove_all(&temporary)?;
    let mut copy = to.create_new(&temporary, 0o640)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()?;
    to.rename(&temporary, to, new_name)?;
    to.sync()?;
    from.unlink(name)?;
    from.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(directory: &Path) -> Volume {
        Volume::create(&directory.join("log.txt"), None).unwrap()
    }

    #[test]
    fn a_log_is_put_away_and_brought_back() {
        let directory = tempfile::tempdir().unwrap();
        let volume = volume(directory.path());
        std::fs::write(directory.path().join("log.txt"), "one").unwrap();
        let archive = Archive::open(&volume).unwrap();
        archive.put_away("a").unwrap();
        assert!(!directory.path().join("log.txt").exists());
        assert!(archive.bring_back("a").unwrap());
        assert_eq!(std::fs::read(directory.path().join("log.txt")).unwrap(), b"one");
        assert!(!archive.bring_back("b").unwrap());
    }

    #[test]
    fn the_newest_logs_stay_within_both_limits() {
        let directory = tempfile::tempdir().unwrap();
        let volume = volume(directory.path());
        let runs = directory.path().join(".hook-runner/runs");
        std::fs::create_dir(&runs).unwrap();
        for (at, run) in ["a", "b", "c", "d"].iter().enumerate() {
            let path = runs.join(name(run));
            // Within one second, and the older the larger.
            std::fs::write(&path, &[b'x'; 14][at..]).unwrap();
            let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(at as u64 + 1);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        let archive = Archive::open(&volume).unwrap();
        assert_eq!(archive.prune(3, 1000).unwrap(), 1);
        assert!(!runs.join("a.log").exists());
        assert_eq!(archive.prune(3, 24).unwrap(), 1);
        assert!(runs.join("d.log").exists() && runs.join("c.log").exists());
    }
}
