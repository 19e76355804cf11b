//! Archives the log when another run begins, and brings it back when its run is retried. Replaces nothing: a name that
//! is taken gets a number.

use std::ffi::{OsStr, OsString};
use std::io;

use rustix::fs::OFlags;

use super::error::VolumeError;
use super::history_dir::{History, SUFFIX};
use super::paths::Volume;
use crate::support::os::user_who_may_not_write;
use crate::support::rooted_dir::{Dir, copy_range};

/// Limit of archived logs of one run.
const MOST: u32 = 10_000;

/// Archives the current log, which belongs to `run`.
pub(super) fn put_away(volume: &Volume, history: &History, run: &str) -> Result<OsString, VolumeError> {
    for number in 1..MOST {
        let name = if number == 1 { format!("{run}{SUFFIX}") } else { format!("{run}~{number}{SUFFIX}") };
        match shift(&volume.directory, &volume.log_name, &history.directory, OsStr::new(&name)) {
            Ok(()) => return Ok(name.into()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // The system does not say which of the two directories refused.
            Err(error) if user_who_may_not_write(&history.path).is_some() => {
                return Err(VolumeError::at("archive the log as", history.path.join(name))(error));
            }
            Err(error) => return Err(VolumeError::at("archive", &volume.log_path)(error)),
        }
    }
    Err(VolumeError::at("archive", &volume.log_path)(io::ErrorKind::AlreadyExists.into()))
}

/// Brings an archived log back as the current one. The log's name must be free.
pub(super) fn bring_back(volume: &Volume, history: &History, name: &OsStr) -> Result<(), VolumeError> {
    shift(&history.directory, name, &volume.directory, &volume.log_name)
        .map_err(VolumeError::at("bring back", history.path.join(name)))
}

/// A durable rename that replaces nothing. Across mounts (`--state`, or a log that is itself a mounted file) it copies
/// durably and then removes the original.
fn shift(from: &Dir, name: &OsStr, to: &Dir, new_name: &OsStr) -> io::Result<()> {
    match from.rename_to_free(name, to, new_name) {
        Err(error) if matches!(error.kind(), io::ErrorKind::CrossesDevices | io::ErrorKind::ResourceBusy) => {
            copy_over(from, name, to, new_name)?;
        }
        done => done?,
    }
    to.sync()?;
    from.sync().map(drop)
}

fn copy_over(from: &Dir, name: &OsStr, to: &Dir, new_name: &OsStr) -> io::Result<()> {
    if to.find(new_name)?.is_some() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let source = from.open_regular(name, OFlags::RDONLY, 0)?;
    let mode = rustix::fs::fstat(&source)?.st_mode & 0o777;
    let (temporary, mut copy) = to.create_temporary(mode)?;
    let copied = copy_range(&source, 0..u64::MAX, &mut copy).and_then(|()| copy.sync_all());
    if let Err(error) = copied.and_then(|()| to.rename_to_free(&temporary, to, new_name)) {
        // Best effort: the original still exists.
        let _ = to.unlink(&temporary);
        return Err(error);
    }
    to.sync()?;
    match from.unlink(name) {
        // A mounted file cannot be removed: the next run's log begins in it.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            from.open_regular(name, OFlags::WRONLY, 0)?.set_len(0)
        }
        done => done,
    }
}
