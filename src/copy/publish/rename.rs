//! Renames a staged entry to its final name, whatever the volume has there: an entry of another type, a read-only
//! directory, another copier's directory, a file that a process has open.

use std::ffi::CStr;
use std::io;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::durable;
use crate::copy::io::listing;
use crate::copy::io::metadata::{Before, Meta, open_up, time_of};
use crate::copy::io::path::{shown, shown_path};
use crate::copy::publish::meanwhile::Name;
use crate::copy::publish::moving::{Moving, rename_new};
use crate::copy::publish::publisher::Publisher;
use crate::copy::shard::lock;
use crate::copy::tree::replaced::Replaced;
use crate::copy::tree::worker::Worker;

/// How long a busy file is retried: SMB servers and virus scanners release it within moments.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

impl Publisher<'_> {
    /// Renames every entry of a staging directory into the destination directory.
    pub(crate) fn rename_all(&self, worker: &mut Worker, at: &Moving<'_>) -> Result<(), Error> {
        let Moving { path, staged, made, .. } = *at;
        let failed = |e: Errno| self.roots.volume_error("open", path, e);
        // The handle was opened when the directory was empty: btrfs lists only what existed then until the position is
        // set (Linux 6.6).
        rustix::fs::seek(staged, rustix::fs::SeekFrom::Start(0)).map_err(failed)?;
        worker.listing.read(staged, &mut worker.dirents).map_err(failed)?;
        let listing = std::mem::take(&mut worker.listing);
        let mut opened_up = None;
        let mut outcome = Ok(());
        for place in 0..listing.len() {
            let (name, kind) = listing.get(place);
            outcome = self.control.go_on().and_then(|()| self.rename(worker, at, name, kind));
            let refused = outcome.as_ref().is_err_and(|e| e.errno() == Some(Errno::ACCESS.raw_os_error()));
            if refused && opened_up.is_none() {
                // Our own directory is read-only: made writable for this call only.
                opened_up = open_up(made);
                if opened_up.is_some() {
                    outcome = self.rename(worker, at, name, kind);
                }
            }
            if outcome.is_err() {
                break;
            }
        }
        worker.listing = listing;
        if let Some(mode) = opened_up {
            let _ = rustix::fs::fchmod(made, Mode::from_raw_mode(mode));
        }
        outcome
    }

    fn rename(&self, worker: &mut Worker, at: &Moving<'_>, name: &CStr, kind: FileType) -> Result<(), Error> {
        if kind == FileType::Directory
            && let Some(shares) = &self.known.scope.shares
            && shares.is_shared(&at.child(name))
        {
            return self.merge_into(worker, at, name);
        }
        let now = self.name_now(at, name)?;
        if now == Name::Users {
            return self.leave_to_user(worker, at, name);
        }
        let rename = || match now {
            Name::Free => rename_new((at.staged, name), (at.made, name)),
            _ => rustix::fs::renameat(at.staged, name, at.made, name),
        };
        match patiently(rename) {
            Err(Errno::EXIST) if now == Name::Free && kind != FileType::Directory => {
                self.leave_to_user(worker, at, name)
            }
            Err(Errno::ISDIR | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                self.replace(worker, at, name, kind)
            }
            Err(Errno::BUSY | Errno::TXTBSY) => Err(self.busy(at, name)),
            other => other.map_err(|e| self.roots.volume_error("rename", &at.child(name), e)),
        }
    }

    fn busy(&self, at: &Moving<'_>, name: &CStr) -> Error {
        Error::busy(format!(
            "{}/{} is open in a process, and this volume replaces no open file: end what uses it, then run again",
            shown_path(&self.roots.path),
            shown(&at.child(name))
        ))
    }

    /// Publishes a shared directory that was staged because something else was in its way. The first copier moves that
    /// beside and renames its directory; the others put their entries into the first one's. It is never renamed over an
    /// existing directory, not even an empty one: another copier may be about to rename something into that.
    fn merge_into(&self, worker: &mut Worker, at: &Moving<'_>, name: &CStr) -> Result<(), Error> {
        let path = at.child(name);
        let failed = |e: io::Error| self.roots.volume_error("rename", &path, e);
        let other = |e: Errno| failed(e.into());
        let make = || match rustix::fs::mkdirat(at.made, name, Mode::from_raw_mode(0o700)) {
            Err(Errno::EXIST) => Ok(()),
            done => done,
        };
        {
            let journal = self.files.journal()?;
            let _lock =
                lock::take(journal, &self.files.manifest).map_err(|e| self.roots.manifest_error(e))?;
            match rustix::fs::statat(at.made, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                Ok(_) => self.replace_by(worker, at, name, &make)?,
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(other(errno)),
            }
        }
        let from = listing::open(at.staged, name).map_err(other)?;
        let stat = rustix::fs::fstat(&from).map_err(other)?;
        make().map_err(other)?;
        let into = listing::open(at.made, name).map_err(other)?;
        // The directory was just made, or is another copier's with other names.
        let replaced = &Replaced::default();
        let below = Moving { path: &path, staged: &from, made: &into, replaced };
        self.rename_all(worker, &below)?;
        worker.xattrs.read(&from).map_err(failed)?;
        let meta =
            Meta { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, mtime: time_of(&stat) };
        let found = rustix::fs::fstat(&into).map_err(other)?;
        let before = Before::Found(&found);
        self.stager.permissions.apply(&into, &meta, &worker.xattrs, before).map_err(failed)?;
        durable::sync_one(&into).map_err(failed)
    }

    /// Replaces an entry of another type.
    fn replace(
        &self,
        worker: &mut Worker,
        at: &Moving<'_>,
        name: &CStr,
        kind: FileType,
    ) -> Result<(), Error> {
        let failed = |e: Errno| self.roots.volume_error("rename", &at.child(name), e);
        let stat = rustix::fs::statat(at.made, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_dir && kind == FileType::Directory {
            // Somebody has made the directory meanwhile.
            return Err(failed(Errno::EXIST));
        }
        self.replace_by(worker, at, name, &|| rustix::fs::renameat(at.staged, name, at.made, name))
    }
}

/// Retries an operation that the volume refuses while a file is open.
fn patiently(act: impl Fn() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    let begun = Instant::now();
    loop {
        match act() {
            Err(Errno::BUSY | Errno::TXTBSY) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}
