//! The volumes that the steps may write to. Each is opened before the first step and synced after the last: syncfs(2)
//! then reports every write error since the descriptor was opened (Linux 5.8). Writes nothing itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::libc;

use crate::copy::{self, Place};
use crate::hook::spec::Hook;
use crate::hook::steps::Step;
use crate::support::cause::words;

/// The volumes of an attempt, without duplicates.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    /// The paths that steps write to: each copy's destination, the log, the paths of `sync`.
    paths: Vec<PathBuf>,
    /// The paths of `sync`: each must exist at the end.
    named: Vec<PathBuf>,
    open: Vec<(PathBuf, File)>,
    /// The directories that copies of this attempt wrote to.
    copied: Vec<Arc<Place>>,
}

/// A volume that cannot be synced.
#[derive(Debug, thiserror::Error)]
#[error("cannot sync the volume of {}: {}", path.display(), words(source))]
pub(crate) struct SyncError {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl Volumes {
    /// Opens the volumes of `paths` and of the `sync` paths. Blocks.
    pub(super) fn open(mut paths: Vec<PathBuf>, named: Vec<PathBuf>) -> Result<Self, SyncError> {
        paths.extend_from_slice(&named);
        let mut volumes = Self { paths, named, ..Self::default() };
        volumes.add()?;
        Ok(volumes)
    }

    /// Makes everything written durable. Blocks.
    pub(super) fn sync(&mut self) -> Result<(), SyncError> {
        // A destination may have been created on a volume that was mounted later.
        self.add()?;
        self.open.iter().try_for_each(|(path, file)| {
            rustix::fs::syncfs(file).map_err(|errno| SyncError { path: path.clone(), source: errno.into() })
        })
    }

    /// The first `sync` path that does not exist: what should be durable is then elsewhere. Blocks.
    pub(super) fn missing(&self) -> Option<&Path> {
        let is_absent = |path: &&PathBuf| {
            path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        self.named.iter().find(is_absent).map(PathBuf::as_path)
    }

    /// Keeps a destination open until the end. If several copies have one path, the last one decides which directory it
    /// is.
    pub(super) fn hold(&mut self, place: &Arc<Place>) {
        self.copied.retain(|held| held.path() != place.path());
        self.copied.push(Arc::clone(place));
    }

    /// Fails if a step has moved a destination away, with what was copied there. Blocks.
    pub(super) fn in_place(&self) -> Result<(), copy::Error> {
        self.copied.iter().try_for_each(|place| copy::check_kept(place))
    }

    fn add(&mut self) -> Result<(), SyncError> {
        for path in &self.paths {
            let failed = |source| SyncError { path: path.clone(), source };
            let file = nearest(path).map_err(failed)?;
            let device = file.metadata().map_err(failed)?.dev();
            let same = |(_, known): &(PathBuf, File)| known.metadata().is_ok_and(|meta| meta.dev() == device);
            if !self.open.iter().any(same) {
                self.open.push((path.clone(), file));
            }
        }
        Ok(())
    }
}

pub(super) fn named_by(hook: &Hook) -> Vec<PathBuf> {
    hook.sync.iter().cloned().map(absolute).collect()
}

/// The paths that the steps of `hook` write to, as far as known, and the directory of its log.
pub(super) fn written_by(hook: &Hook) -> Vec<PathBuf> {
    let steps = hook.steps.iter().chain(&hook.on_failure).chain(&hook.finally);
    let copied = steps.filter_map(|step| match step {
        Step::Copy { to, .. } => Some(to.clone()),
        _ => None,
    });
    // The log's own name may be a link by the end, so its directory is used. The working directory may be gone by then.
    let log = hook.log.clone().map(absolute).and_then(|log| Some(log.parent()?.to_path_buf()));
    copied.map(absolute).chain(log).collect()
}

/// Resolved now, because the working directory may be gone at the end.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Opens the directory `path` or its nearest existing parent.
fn nearest(path: &Path) -> io::Result<File> {
    let path = std::path::absolute(path)?;
    let mut result = Err(io::ErrorKind::NotFound.into());
    for at in path.ancestors() {
        result = File::options().read(true).custom_flags(libc::O_DIRECTORY).open(at);
        match &result {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            _ => break,
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_synced_once_and_found_from_what_is_not_there_yet() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        let mut volumes =
            Volumes::open(vec![at("new/deep"), at("file")], vec![directory.path().into()]).unwrap();
        assert_eq!(volumes.open.len(), 1);
        volumes.sync().unwrap();
    }
}
