//! Renaming what is complete in staging to where it goes, whatever the volume has there: something of another type, a
//! directory that may not be written, one that another copier made.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, RenameFlags};
use rustix::io::Errno;

use super::engine::{Engine, Worker};
use super::entry::Here;
use super::error::Error;
use super::listing;
use super::metadata::{Before, Meta, time_of};
use super::options::Prune;
use super::path::{beside, join, shown};
use super::shard;
use crate::support::rooted_dir::Dir;

impl Engine<'_> {
    /// Renames every entry of a directory in staging into the directory `path` of the destination.
    pub(super) fn rename_all(
        &self,
        worker: &mut Worker,
        path: &[u8],
        staged: &OwnedFd,
        made: &OwnedFd,
    ) -> Result<(), Error> {
        let failed = |e: Errno| self.volume_error("open", path, e);
        // Opened when it was empty: btrfs lists only what was there then, until the position is set (Linux 6.6).
        rustix::fs::seek(staged, rustix::fs::SeekFrom::Start(0)).map_err(failed)?;
        worker.listing.read(staged, &mut worker.dirents).map_err(failed)?;
        let listing = std::mem::take(&mut worker.listing);
        let mut opened_up = None;
        let mut outcome = Ok(());
        for at in 0..listing.len() {
            let (name, kind) = listing.get(at);
            outcome = self.go_on().and_then(|()| self.rename(worker, path, staged, made, name, kind));
            let refused = outcome.as_ref().is_err_and(|e| e.errno() == Some(Errno::ACCESS.raw_os_error()));
            if refused && opened_up.is_none() {
                // A read-only directory of our own: opened for the time of this.
                if let Ok(stat) = rustix::fs::fstat(made) {
                    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777 | 0o300);
                    if rustix::fs::fchmod(made, mode).is_ok() {
                        opened_up = Some(stat.st_mode & 0o7777);
                        outcome = self.rename(worker, path, staged, made, name, kind);
                    }
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

    fn rename(
        &self,
        worker: &mut Worker,
        dir: &[u8],
        staged: &OwnedFd,
        made: &OwnedFd,
        name: &CStr,
        kind: FileType,
    ) -> Result<(), Error> {
        let path = || join(dir, name.to_bytes());
        if kind == FileType::Directory
            && let Some(shares) = &self.shares
            && shares.is_shared(&path())
        {
            return self.merge_into(worker, &path(), staged, made, name);
        }
        match rustix::fs::renameat(staged, name, made, name) {
            Err(Errno::ISDIR | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                self.swap(worker, dir, made, staged, name, kind)
            }
            other => other.map_err(Into::into),
        }
        .map_err(|e| self.volume_error("rename", &path(), e))
    }

    /// A directory that other copiers put entries into too, staged as something else was in its way: the first of them
    /// has it change places with that, the others put their entries into the first one's. It is never renamed to where a
    /// directory is, not even an empty one: another copier may be about to rename something into that.
    fn merge_into(
        &self,
        worker: &mut Worker,
        path: &[u8],
        staged: &OwnedFd,
        made: &OwnedFd,
        name: &CStr,
    ) -> Result<(), Error> {
        let failed = |e: io::Error| self.volume_error("rename", path, e);
        let other = |e: Errno| failed(e.into());
        {
            let _lock = shard::lock(self).map_err(|e| self.manifest_error(e))?;
            match rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                Ok(_) if exchanged(staged, made, name).map_err(failed)? => return Ok(()),
                // The name is missing for a moment.
                Ok(_) => {
                    rustix::fs::renameat(made, name, staged, &*beside(name, ".replaced")).map_err(other)?;
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(other(errno)),
            }
        }
        let from = listing::open(staged, name).map_err(other)?;
        let stat = rustix::fs::fstat(&from).map_err(other)?;
        match rustix::fs::mkdirat(made, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(other(errno)),
        }
        let into = listing::open(made, name).map_err(other)?;
        self.rename_all(worker, path, &from, &into)?;
        worker.xattrs.read(&from).map_err(failed)?;
        let meta =
            Meta { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, mtime: time_of(&stat) };
        let found = rustix::fs::fstat(&into).map_err(other)?;
        self.permissions.apply(&into, &meta, &worker.xattrs, Before::Found(&found)).map_err(failed)?;
        rustix::fs::fsync(&into).map_err(other)
    }

    /// An entry of another type has the name: the two change places, then the old one is removed with staging. A
    /// directory that holds anything not installed by a copy is put beside it instead.
    fn swap(
        &self,
        worker: &mut Worker,
        dir: &[u8],
        made: &OwnedFd,
        staged: &OwnedFd,
        name: &CStr,
        kind: FileType,
    ) -> io::Result<()> {
        let path = join(dir, name.to_bytes());
        let stat = rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let was_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if was_dir && kind == FileType::Directory {
            // Somebody made the directory meanwhile.
            return Err(Errno::EXIST.into());
        }
        let ours = !was_dir || self.is_installed(made, name, &path)?;
        if !exchanged(staged, made, name)? {
            // The name is missing for a moment.
            let old = beside(name, ".replaced");
            rustix::fs::renameat(made, name, staged, &*old)?;
            rustix::fs::renameat(staged, name, made, name)?;
            rustix::fs::renameat(staged, &*old, staged, name)?;
        }
        if ours {
            return Ok(());
        }
        for n in 0..1000 {
            let suffix = if n == 0 { ".from-volume".to_owned() } else { format!(".from-volume-{n}") };
            let aside = beside(name, &suffix);
            match rustix::fs::renameat_with(staged, name, made, &*aside, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    let to = join(dir, aside.to_bytes());
                    let remark = format!(
                        "{} was a directory with other content: moved to {}",
                        shown(&path),
                        shown(&to)
                    );
                    worker.report.remarks.push(remark);
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Lists what becomes of a directory that something else takes the place of, if it holds anything not installed.
    pub(super) fn plan_swap(&self, worker: &mut Worker, here: &Here<'_>, name: &CStr) -> Result<(), Error> {
        let path = here.child(name);
        let Some(made) = here.made else { return Ok(()) };
        if self.is_installed(made, name, &path).map_err(|e| self.volume_error("compare", &path, e))? {
            return Ok(());
        }
        let mut aside = beside(name, ".from-volume");
        for n in 1..1000 {
            if self.look(made, here, &aside)?.is_none() {
                break;
            }
            aside = beside(name, &format!(".from-volume-{n}"));
        }
        let to = here.child(&aside);
        worker.report.plan.push(format!("move {} to {}", shown(&path), shown(&to)));
        if self.request.options.prune == Prune::All && !self.filter.skips(here.path, aside.to_bytes(), true) {
            worker.report.plan.push(format!("remove {}", shown(&to)));
            worker.report.removed += 1;
        }
        Ok(())
    }

    /// Whether everything in a directory of the volume was installed by a copy and is as it was left.
    pub(super) fn is_installed(&self, made: impl AsFd, name: &CStr, path: &[u8]) -> io::Result<bool> {
        let top = Dir::from_fd(listing::open(made, name)?);
        let (mut block, mut buffer) = (Vec::new(), Vec::new());
        let mut todo = vec![(top, path.to_vec())];
        while let Some((dir, path)) = todo.pop() {
            block.clear();
            if let Some(at) = self.old.find(&path) {
                self.old.load(at, &mut block)?;
            }
            for (name, kind) in dir.entries()? {
                let bytes = name.as_bytes();
                let known = super::manifest::records(&block).find(|record| *record.name == *bytes);
                let Some(record) = known.filter(|r| !r.flags.found && !r.flags.kept) else {
                    return Ok(false);
                };
                let Ok(c_name) = std::ffi::CString::new(bytes) else { return Ok(false) };
                if kind == FileType::Directory && record.kind == super::manifest::Kind::Dir {
                    todo.push((dir.open_dir(&name)?, join(&path, bytes)));
                    continue;
                }
                let Some((kind, size, _, _, content)) = record.as_left() else { return Ok(false) };
                let stat = dir.stat_at(&name)?;
                if !super::compare::compare_content(&dir, &c_name, kind, size, content, &stat, &mut buffer)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Has the two change places; false where the filesystem cannot.
fn exchanged(staged: &OwnedFd, made: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match rustix::fs::renameat_with(staged, name, made, name, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
