//! The runner's own files and directories. Something else may stand under their names, put there by the command or by a
//! user: it is kept beside, and the runner goes on. A state directory that is a link, or a lock that is a FIFO, must
//! not stop every later run. No link is followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::resolve::plain_names;
use super::{Dir, chmod_handle};

/// For files that the volume's group shares.
const FILE_MODE: u32 = 0o660;
/// For state directories: the volume's group may write, and setgid hands the group on to what is made inside.
const DIRECTORY_MODE: u32 = 0o2770;
/// The suffix under which something in the way is kept.
const ASIDE: &str = ".from-volume";
/// How many suffixed names are tried.
const MOST: u32 = 1000;
/// How often an open is repeated when somebody else changes the name at the same moment.
const TRIES: u32 = 100;
/// Bytes per read when a file is copied.
const BLOCK: usize = 1 << 20;

impl Dir {
    /// Opens a file of the runner's own, creating it if missing. Every user of the volume's group can use it, whatever
    /// the umask; only its owner needs to change its mode. Something that is no file is set aside. A file with other
    /// hard links (`cp -al` of the directory) is replaced by a copy of its own.
    pub fn open_own(&self, name: impl AsRef<OsStr>, flags: OFlags) -> io::Result<File> {
        self.unshare(name.as_ref(), self)?;
        self.open_for_group(name, flags)
    }

    /// As [`Dir::open_own`], for a file that somebody may hold a lock on: it is never replaced, whatever its hard
    /// links.
    pub fn open_for_group(&self, name: impl AsRef<OsStr>, flags: OFlags) -> io::Result<File> {
        let name = name.as_ref();
        // Others may read the file if they may search the directory.
        let wanted = FILE_MODE | self.stat()?.st_mode & 0o004;
        let mut result = Err(io::ErrorKind::NotFound.into());
        for _ in 0..TRIES {
            result = self.open_with(name, flags | OFlags::CREATE, wanted);
            match &result {
                Ok(file) => {
                    let stat = rustix::fs::fstat(file)?;
                    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                        self.set_aside(name)?;
                    } else if stat.st_nlink > 0 {
                        open_to_group(file, stat.st_mode, stat.st_mode & 0o777 | wanted);
                        break;
                    }
                }
                Err(error) if is_in_the_way(error) && self.is_other(name, FileType::RegularFile) => {
                    drop(self.set_aside(name)?);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.let_owner(name) => {}
                Err(_) => break,
            }
        }
        result
    }

    /// As [`Dir::open_own`], for a directory. `others` may search it or not. Also returns the new name of something
    /// that was in the way.
    pub fn open_own_dir(
        &self,
        name: impl AsRef<OsStr>,
        others: bool,
    ) -> io::Result<(Self, Option<OsString>)> {
        let name = name.as_ref();
        let mut aside = None;
        let mut result = self.open_dir(name);
        for _ in 0..TRIES {
            match &result {
                Err(error) if error.kind() == io::ErrorKind::NotFound => match self.create_dir(name, 0o770) {
                    // Another process was faster.
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                },
                Err(error) if is_in_the_way(error) && self.is_other(name, FileType::Directory) => {
                    aside = Some(self.set_aside(name)?);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.let_owner(name) => {}
                _ => break,
            }
            result = self.open_dir(name);
        }
        let directory = result?;
        let mode = directory.stat()?.st_mode;
        open_to_group(&directory, mode, mode & 0o7707 | state_mode(others));
        Ok((directory, aside))
    }

    /// Opens the directory `rel` and creates what is missing, each with `mode` whatever the umask, plus the setgid bit
    /// that it inherits.
    pub fn open_or_create_dirs(&self, rel: &Path, mode: u32) -> io::Result<Self> {
        let mut at = self.reopen()?;
        for name in plain_names(rel)? {
            at = match at.open_dir(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match at.create_dir(name, mode & 0o777) {
                        // Another process was faster.
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                        outcome => {
                            let new = at.open_dir(name)?;
                            if outcome.is_ok() {
                                let given = new.stat()?.st_mode;
                                open_to_group(&new, given, mode | given & Mode::SGID.as_raw_mode());
                            }
                            new
                        }
                    }
                }
                opened => opened?,
            };
        }
        Ok(at)
    }

    /// Whether an entry of another kind stands there. Asked because a failing volume can answer with the same error as
    /// an entry in the way.
    fn is_other(&self, name: &OsStr, kind: FileType) -> bool {
        let found = self.find(name).ok().flatten();
        found.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) != kind)
    }

    /// Renames `name` to the first free one of `name.from-volume`, `name.from-volume-2` and so on; returns the new
    /// name.
    pub fn set_aside(&self, name: impl AsRef<OsStr>) -> io::Result<OsString> {
        let name = name.as_ref();
        for number in 1..MOST {
            let mut aside = name.to_owned();
            aside.push(if number == 1 { ASIDE.to_owned() } else { format!("{ASIDE}-{number}") });
            match self.rename_to_free(name, self, &aside) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done.map(|()| aside),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// As [`Dir::rename_new`], also on filesystems without `RENAME_NOREPLACE` (EINVAL). There, the caller's lock keeps
    /// the name free between the check and the rename.
    pub fn rename_to_free(&self, name: &OsStr, to: &Self, new_name: &OsStr) -> io::Result<()> {
        match self.rename_new(name, to, new_name) {
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOSYS)) => {
                if to.find(new_name)?.is_some() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                self.rename(name, to, new_name)
            }
            done => done,
        }
    }

    /// Replaces the file `name` by a copy if it has other hard links, so that a write does not change those. The copy
    /// is made in `workshop`, which is on the same mount.
    pub fn unshare(&self, name: impl AsRef<OsStr>, workshop: &Self) -> io::Result<()> {
        let name = name.as_ref();
        let is_shared = self.find(name)?.is_some_and(|stat| stat.st_nlink > 1 && is_regular(stat.st_mode));
        if !is_shared {
            return Ok(());
        }
        let source = self.open_own_for_reading(name)?;
        let mode = rustix::fs::fstat(&source)?.st_mode & 0o777;
        let (temporary, mut copy) = workshop.create_temporary(mode)?;
        let copied = copy_range(&source, 0..u64::MAX, &mut copy).and_then(|()| copy.sync_all());
        let placed = copied.and_then(|()| workshop.rename(&temporary, self, name));
        if placed.is_err() {
            // Best effort: the first error is the one to report.
            let _ = workshop.unlink(&temporary);
        }
        placed
    }

    /// Creates a file for reading and appending. Its name is unique as long as the caller holds the lock.
    pub fn create_temporary(&self, mode: u32) -> io::Result<(OsString, File)> {
        let name = OsString::from(format!(".moving-{}", std::process::id()));
        self.remove_all(&name)?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        let file = self.open_with(&name, flags, mode)?;
        // Overrides the umask. A volume that refuses modes has its own.
        let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(mode));
        Ok((name, file))
    }

    fn open_own_for_reading(&self, name: &OsStr) -> io::Result<File> {
        match self.open_regular(name, OFlags::RDONLY, 0) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.let_owner(name) => {
                self.open_regular(name, OFlags::RDONLY, 0)
            }
            opened => opened,
        }
    }

    /// If we own the file or directory and it denies its owner access, grants that access.
    fn let_owner(&self, name: &OsStr) -> bool {
        let Ok(handle) = self.open_with(name, OFlags::PATH, 0) else { return false };
        let Ok(stat) = rustix::fs::fstat(&handle) else { return false };
        let wanted = if is_regular(stat.st_mode) { FILE_MODE } else { DIRECTORY_MODE };
        stat.st_mode & 0o700 != wanted & 0o700
            && chmod_handle(&handle.into(), stat.st_mode & 0o7777 | wanted).is_ok()
    }
}

/// Appends the bytes of `range` to `to`, up to the end of `from`.
pub fn copy_range(from: &File, range: std::ops::Range<u64>, to: &mut File) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut at = range.start;
    while at < range.end {
        let wanted = usize::try_from(range.end - at).unwrap_or(BLOCK).min(BLOCK);
        let length = from.read_at(&mut block[..wanted], at)?;
        if length == 0 {
            break;
        }
        to.write_all(&block[..length])?;
        at += length as u64;
    }
    Ok(())
}

/// Whether an open failed because the entry is of another kind: a link, FIFO, socket or directory, or no directory.
pub fn is_in_the_way(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NXIO | Errno::ISDIR | Errno::NOTDIR))
}

fn is_regular(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::RegularFile
}

/// Overrides the umask and the modes of version 0.1. A volume that refuses modes has its own.
fn open_to_group(file: impl std::os::fd::AsFd, mode: u32, wanted: u32) {
    if mode & 0o7777 != wanted {
        let _ = rustix::fs::fchmod(file, Mode::from_raw_mode(wanted));
    }
}

/// The mode of a state directory. `others` may search it if they may read the log.
pub fn state_mode(others: bool) -> u32 {
    DIRECTORY_MODE | if others { 0o005 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_in_the_way_of_a_file_is_kept_beside_it_and_no_link_is_followed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let at = |name: &str| temp.path().join(name);
        std::fs::write(at("target"), "x").unwrap();
        symlink("target", at("lock")).unwrap();
        dir.open_own("lock", OFlags::RDWR).unwrap();
        std::fs::remove_file(at("lock")).unwrap();
        std::fs::create_dir(at("lock")).unwrap();
        dir.open_own("lock", OFlags::RDWR).unwrap().write_all(b"mine").unwrap();
        assert_eq!(std::fs::read_link(at("lock.from-volume")).unwrap(), std::path::Path::new("target"));
        assert!(at("lock.from-volume-2").is_dir());
        assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "x");
    }

    #[test]
    fn a_file_with_other_names_gets_one_of_its_own_and_theirs_stays() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        std::fs::write(temp.path().join("log"), "one").unwrap();
        std::fs::hard_link(temp.path().join("log"), temp.path().join("keep")).unwrap();
        dir.unshare("log", &dir).unwrap();
        dir.open_regular("log", OFlags::WRONLY | OFlags::APPEND, 0).unwrap().write_all(b" two").unwrap();
        let read = |name: &str| std::fs::read_to_string(temp.path().join(name)).unwrap();
        assert_eq!((read("log").as_str(), read("keep").as_str()), ("one two", "one"));
    }
}
