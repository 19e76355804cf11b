//! Renaming what is complete in staging to where it goes, whatever the volume has there: something of another type, a
//! directory that may not be written, one that another copier made. What is in the way is renamed to `NAME.from-volume`
//! beside it, so that nothing of the volume's is ever in staging, and removed there only where copies installed all of it.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, RenameFlags};
use rustix::io::Errno;

use crate::copy::engine::{Engine, Worker};
use crate::copy::error::Error;
use crate::copy::io::listing;
use crate::copy::io::metadata::{Before, Meta, time_of};
use crate::copy::io::path::{join, names_beside, shown};
use crate::copy::manifest::{Kind, Record, records};
use crate::copy::options::Prune;
use crate::copy::plan::compare::compare_content;
use crate::copy::plan::entry::Here;
use crate::copy::plan::stat_cache::Sight;
use crate::copy::shard::merge;
use crate::copy::state::STATE;
use crate::support::rooted_dir::Dir;

/// What copies have installed in a directory, to be removed: each entry's path below it, the deepest last.
type Installed = Vec<(Vec<u8>, Sight, FileType)>;

impl Engine<'_> {
    /// Renames every entry of a directory in staging into the directory `path` of the destination.
    pub(in crate::copy) fn rename_all(
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
            outcome = self.go_on().and_then(|()| self.rename(worker, path, (staged, made), name, kind));
            let refused = outcome.as_ref().is_err_and(|e| e.errno() == Some(Errno::ACCESS.raw_os_error()));
            if refused && opened_up.is_none() {
                // A read-only directory of our own: opened for the time of this.
                opened_up = open_up(made);
                if opened_up.is_some() {
                    outcome = self.rename(worker, path, (staged, made), name, kind);
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
        (staged, made): (&OwnedFd, &OwnedFd),
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
                self.replace(worker, dir, (staged, made), name, kind)
            }
            other => other.map_err(|e| self.volume_error("rename", &path(), e)),
        }
    }

    /// A directory that other copiers put entries into too, staged as something else was in its way: the first of them
    /// puts that beside it, the others put their entries into the first one's. It is never renamed to where a directory
    /// is, not even an empty one: another copier may be about to rename something into that.
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
            let _lock = merge::lock(self).map_err(|e| self.manifest_error(e))?;
            match rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                Ok(_) => self.replace_by(worker, path, made, name, &mut || match rustix::fs::mkdirat(
                    made,
                    name,
                    Mode::from_raw_mode(0o700),
                ) {
                    Err(Errno::EXIST) => Ok(()),
                    done => done,
                })?,
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
        crate::copy::io::durable::sync_one(&into).map_err(failed)
    }

    /// An entry of another type has the name.
    fn replace(
        &self,
        worker: &mut Worker,
        dir: &[u8],
        (staged, made): (&OwnedFd, &OwnedFd),
        name: &CStr,
        kind: FileType,
    ) -> Result<(), Error> {
        let path = join(dir, name.to_bytes());
        let failed = |e: Errno| self.volume_error("rename", &path, e);
        let stat = rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_dir && kind == FileType::Directory {
            // Somebody made the directory meanwhile.
            return Err(failed(Errno::EXIST));
        }
        self.replace_by(worker, &path, made, name, &mut || rustix::fs::renameat(staged, name, made, name))
    }

    /// Puts what has the name beside it, has `put` give the name to something else, and removes what was put beside if
    /// copies installed all of it.
    fn replace_by(
        &self,
        worker: &mut Worker,
        path: &[u8],
        made: &OwnedFd,
        name: &CStr,
        put: &mut dyn FnMut() -> rustix::io::Result<()>,
    ) -> Result<(), Error> {
        let failed = |e: io::Error| self.volume_error("rename", path, e);
        let installed = self.installed(made, name, path)?;
        let beside = put_beside(made, name).map_err(failed)?;
        if let Err(errno) = put() {
            // It gets its name back, where nothing else has that.
            let _ = rename_new(made, &beside, name);
            return Err(failed(errno.into()));
        }
        let dir = path.strip_suffix(name.to_bytes()).unwrap_or(path);
        let shown_beside = shown(&[dir, beside.to_bytes()].concat());
        if let Some(installed) = installed
            && remove_installed(made, &beside, &installed)
                .map_err(|e| self.volume_error("remove", path, e))?
        {
            return Ok(());
        }
        let dir = dir.strip_suffix(b"/").unwrap_or(dir);
        let goes =
            self.request.options.prune == Prune::All && !self.filter.skips(dir, beside.to_bytes(), true);
        let fate = if goes {
            "removed, as --prune all removes what the source does not have".to_owned()
        } else {
            format!("moved to {shown_beside}")
        };
        worker.report.remarks.push(format!("{} was in the way: {fate}", shown(path)));
        Ok(())
    }

    /// Lists what becomes of something that is in the way, unless copies installed all of it.
    pub(in crate::copy) fn plan_swap(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
    ) -> Result<(), Error> {
        let path = here.child(name);
        let Some(made) = here.made else { return Ok(()) };
        if self.installed(made, name, &path)?.is_some() {
            return Ok(());
        }
        for beside in names_beside(name, ".from-volume") {
            if self.look(made, here, &beside)?.is_some() {
                continue;
            }
            let to = here.child(&beside);
            worker.report.plan.push(format!("move {} to {}", shown(&path), shown(&to)));
            if self.request.options.prune == Prune::All
                && !self.filter.skips(here.path, beside.to_bytes(), true)
            {
                worker.report.plan.push(format!("remove {}", shown(&to)));
                let below = entries_below(made, name).map_err(|e| self.volume_error("list", &path, e))?;
                worker.report.removed += 1 + below;
            }
            break;
        }
        Ok(())
    }

    /// Whether everything in a directory of the volume was installed by a copy and is as it was left.
    pub(in crate::copy) fn is_installed(&self, made: &OwnedFd, name: &CStr, path: &[u8]) -> io::Result<bool> {
        self.installed_below(made, name, path).map(|found| found.is_some())
    }

    /// All that there is at and below a name of the volume, if copies installed it and it is as they left it.
    fn installed(&self, made: &OwnedFd, name: &CStr, path: &[u8]) -> Result<Option<Installed>, Error> {
        let failed = |e: io::Error| self.volume_error("compare", path, e);
        let stat = rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| failed(e.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return self.installed_below(made, name, path).map_err(failed);
        }
        let parent = crate::copy::io::path::parent(path).unwrap_or_default();
        let known = self.known_in(parent).map_err(failed)?;
        let mut buffer = Vec::new();
        let is_left = known.get(name.to_bytes()).is_some_and(|records| {
            records.iter().any(|record| is_as_left(made, name, record, &stat, &mut buffer).unwrap_or(false))
        });
        Ok(is_left.then(|| vec![(Vec::new(), Sight::from(&stat), kind)]))
    }

    fn installed_below(&self, made: &OwnedFd, name: &CStr, path: &[u8]) -> io::Result<Option<Installed>> {
        let top = Dir::from_fd(listing::open(made, name)?);
        let mut buffer = Vec::new();
        let mut found = vec![(Vec::new(), Sight::from(&top.stat()?), FileType::Directory)];
        let mut todo = vec![(top, Vec::new())];
        while let Some((dir, below)) = todo.pop() {
            let here = if below.is_empty() { path.to_vec() } else { join(path, &below) };
            let known = self.known_in(&here)?;
            for (name, kind) in dir.entries()? {
                let bytes = name.as_bytes();
                if bytes == STATE.as_bytes() {
                    return Err(io::Error::other("the state of hook-runner is in it, and it is in the way"));
                }
                let Some(records) = known.get(bytes) else { return Ok(None) };
                let stat = dir.stat_at(&name)?;
                let child = join(&below, bytes);
                if kind == FileType::Directory && records.iter().any(|record| record.kind == Kind::Dir) {
                    found.push((child.clone(), Sight::from(&stat), kind));
                    todo.push((dir.open_dir(&name)?, child));
                    continue;
                }
                let Ok(c_name) = CString::new(bytes) else { return Ok(None) };
                let mut is_left = false;
                for record in records {
                    is_left |= is_as_left(&dir, &c_name, record, &stat, &mut buffer)?;
                }
                if !is_left {
                    return Ok(None);
                }
                found.push((child, Sight::from(&stat), kind));
            }
        }
        Ok(Some(found))
    }

    /// What this owner and the others have installed in a directory, by name.
    fn known_in(&self, path: &[u8]) -> io::Result<HashMap<Vec<u8>, Vec<Record<'static>>>> {
        let mut known: HashMap<Vec<u8>, Vec<Record<'static>>> = HashMap::new();
        let mut block = Vec::new();
        if let Some(at) = self.old.find(path) {
            self.old.load(at, &mut block)?;
        }
        let others = self.layers.directory(path)?;
        let all = records(&block).map(Record::into_owned).chain(others.into_records());
        for record in all.filter(|record| !record.flags.found && !record.flags.kept) {
            known.entry(record.name.to_vec()).or_default().push(record);
        }
        Ok(known)
    }
}

/// Whether an entry is as a record says that it was left, its content read in full.
fn is_as_left(
    dir: impl AsFd,
    name: &CStr,
    record: &Record<'_>,
    stat: &rustix::fs::Stat,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    let Some((kind, size, _, _, content)) = record.as_left() else { return Ok(false) };
    compare_content(dir, name, kind, size, content, stat, buffer)
}

/// Removes what copies installed, if nobody has changed it since it was looked at; false where something stays.
fn remove_installed(made: &OwnedFd, name: &CStr, installed: &Installed) -> io::Result<bool> {
    let at = std::ffi::OsStr::from_bytes(name.to_bytes());
    let stat = rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        rustix::fs::unlinkat(made, name, AtFlags::empty())?;
        return Ok(true);
    }
    let top = Dir::from_fd(rustix::io::fcntl_dupfd_cloexec(made, 0)?).open_dir(at)?;
    // The deepest come last.
    for (path, sight, kind) in installed.iter().rev().filter(|(path, ..)| !path.is_empty()) {
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
        let (parent, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
        let dir = top.open_dir(parent)?;
        if *kind != FileType::Directory && dir.find(name)?.is_some_and(|stat| Sight::from(&stat) != *sight) {
            return Ok(false);
        }
        let remove = || if *kind == FileType::Directory { dir.remove_dir(name) } else { dir.unlink(name) };
        match remove() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                open_up(&dir).map_or(Err(error), |_| remove())?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(false),
            done => done?,
        }
    }
    match rustix::fs::unlinkat(made, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives the owner of a directory the permission to change it; answers the mode that it had.
pub(in crate::copy) fn open_up(dir: impl AsFd) -> Option<u32> {
    let mode = rustix::fs::fstat(&dir).ok()?.st_mode & 0o7777;
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode | 0o300)).ok()?;
    Some(mode)
}

/// How many entries a directory of the volume holds, all that are below it counted; none in anything else.
fn entries_below(made: &OwnedFd, name: &CStr) -> io::Result<u64> {
    fn count(dir: &Dir) -> io::Result<u64> {
        dir.entries()?.iter().try_fold(0, |sum, (name, kind)| match kind {
            FileType::Directory => Ok(sum + 1 + count(&dir.open_dir(name)?)?),
            _ => Ok(sum + 1),
        })
    }
    let stat = rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(0);
    }
    count(&Dir::from_fd(made.try_clone()?).open_dir(OsStr::from_bytes(name.to_bytes()))?)
}

/// Renames an entry to `NAME.from-volume` beside it, or the first such name that is free.
fn put_beside(made: &OwnedFd, name: &CStr) -> io::Result<CString> {
    for beside in names_beside(name, ".from-volume") {
        match rename_new(made, name, &beside) {
            Ok(()) => return Ok(beside),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(Errno::EXIST.into())
}

/// rename(2) to a name that nothing has. Network filesystems do not know `RENAME_NOREPLACE` and answer `EINVAL`: there it is
/// looked up first.
fn rename_new(dir: &OwnedFd, from: &CStr, to: &CStr) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        done => return done,
    }
    match rustix::fs::statat(dir, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => rustix::fs::renameat(dir, from, dir, to),
        Ok(_) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}
