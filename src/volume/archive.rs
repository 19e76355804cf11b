//! Logs of earlier runs beside the index: moved there when another run begins, brought back when their run is retried.
//! Nothing is ever replaced: a name that is taken gets a number.

use std::ffi::{OsStr, OsString};
use std::io;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::error::VolumeError;
use super::history_dir::{History, SUFFIX};
use super::paths::Volume;
use crate::support::rooted_dir::Dir;

/// More logs of one run than this are nobody's.
const MOST: u32 = 10_000;

/// Moves the current log, which belongs to `run`, among the earlier ones.
pub(super) fn put_away(volume: &Volume, history: &History, run: &str) -> Result<OsString, VolumeError> {
    for number in 1..MOST {
        let name = if number == 1 { format!("{run}{SUFFIX}") } else { format!("{run}~{number}{SUFFIX}") };
        match shift(&volume.directory, &volume.log_name, &history.directory, OsStr::new(&name)) {
            Ok(()) => return Ok(name.into()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(VolumeError::at("archive", &volume.log_path)(error)),
        }
    }
    Err(VolumeError::at("archive", &volume.log_path)(io::ErrorKind::AlreadyExists.into()))
}

/// Brings an archived log back as the current one, whose name must be free.
pub(super) fn bring_back(volume: &Volume, history: &History, name: &OsStr) -> Result<(), VolumeError> {
    shift(&history.directory, name, &volume.directory, &volume.log_name)
        .map_err(VolumeError::at("bring back", history.path.join(name)))
}

/// rename(2) that replaces nothing, durable in both directories; where they are on different mounts (`--state`), a copy
/// that is durable before the original goes.
fn shift(from: &Dir, name: &OsStr, to: &Dir, new_name: &OsStr) -> io::Result<()> {
    match rename_to_free(from, name, to, new_name) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_over(from, name, to, new_name)?,
        done => done?,
    }
    to.sync()?;
    from.sync()
}

/// Where the filesystem knows no `RENAME_NOREPLACE` (EINVAL), the caller's lock keeps the name free between the two calls.
pub(super) fn rename_to_free(from: &Dir, name: &OsStr, to: &Dir, new_name: &OsStr) -> io::Result<()> {
    match from.rename_new(name, to, new_name) {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOSYS)) => {
            if to.find(new_name)?.is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            from.rename(name, to, new_name)
        }
        done => done,
    }
}

fn copy_over(from: &Dir, name: &OsStr, to: &Dir, new_name: &OsStr) -> io::Result<()> {
    if to.find(new_name)?.is_some() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut source = from.open_regular(name, OFlags::RDONLY, 0)?;
    let mode = rustix::fs::fstat(&source)?.st_mode & 0o777;
    let mut temporary = OsString::from(format!(".moving-{}-", std::process::id()));
    temporary.push(new_name);
    let mut copy = to.create_new(&temporary, mode)?;
    let copied = io::copy(&mut source, &mut copy).and_then(|_| copy.sync_all());
    if let Err(error) = copied.and_then(|()| rename_to_free(to, &temporary, to, new_name)) {
        // Best effort: the original is still there.
        let _ = to.unlink(&temporary);
        return Err(error);
    }
    to.sync()?;
    from.unlink(name)
}
