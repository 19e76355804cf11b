//! Files and directories of the runner's own. Whatever stands under the name of one, put there by the command or by somebody
//! between two runs, is kept beside it, and the runner goes on: a state directory that is a link, or a lock that is a FIFO, must
//! not stop every run from then on. No link is followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::resolve::plain_names;
use super::{Dir, chmod_handle};

/// Of a file that a volume's group shares.
const FILE_MODE: u32 = 0o660;
/// Another user of the volume's group can run on it: a state directory hands its group on (setgid).
const DIRECTORY_MODE: u32 = 0o2770;
/// What was in the way is kept under this ending.
const ASIDE: &str = ".from-volume";
/// More names than this are taken by nobody.
const MOST: u32 = 1000;
/// How often a name is tried that somebody else changes meanwhile.
const TRIES: u32 = 100;
/// Bytes that are copied at a time.
const BLOCK: usize = 1 << 20;

impl Dir {
    /// Opens a file of the runner's own, made where it is missing, which every user of the volume's group can use, whatever
    /// the umask is. Who does not own it may not change its mode, and need not. What is no file is set aside; a file that has
    /// other names (`cp -al` of the directory) becomes one of its own.
    pub fn open_own(&self, name: impl AsRef<OsStr>, flags: OFlags) -> io::Result<File> {
        self.unshare(name.as_ref(), self)?;
        self.open_for_group(name, flags)
    }

    /// As [`Dir::open_own`], for a file that somebody may hold a lock on: it stays the same file whatever names it has.
    pub fn open_for_group(&self, name: impl AsRef<OsStr>, flags: OFlags) -> io::Result<File> {
        let name = name.as_ref();
        // Who may look into the directory may read what is in it.
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

    /// As [`Dir::open_own`] for a directory, which `others` may look into or not; and under which name something is kept now
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
                    // Another process made it between the two calls: as good.
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

    /// Opens the directory `rel`, making what is missing of it, each with `mode` whatever the umask is, and with the setgid bit
    /// that it has from the directory it is made in.
    pub fn open_or_create_dirs(&self, rel: &Path, mode: u32) -> io::Result<Self> {
        let mut at = self.reopen()?;
        for name in plain_names(rel)? {
            at = match at.open_dir(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match at.create_dir(name, mode & 0o777) {
                        // Another process made it between the two calls: as good.
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

    /// Whether something stands there, of another kind: a volume that fails may answer for what is in its place as for what
    /// is in the way.
    fn is_other(&self, name: &OsStr, kind: FileType) -> bool {
        let found = self.find(name).ok().flatten();
        found.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) != kind)
    }

    /// Renames what stands under `name` to `name.from-volume`, or the first such name that is free, which is returned.
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

    /// As [`Dir::rename_new`], also where the filesystem knows no `RENAME_NOREPLACE` (EINVAL): there the caller's lock keeps
    /// the name free between the two calls.
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

    /// Where the file `name` has other names, gives it a file of its own, so that writing to it changes nothing of theirs.
    /// The copy is made in `workshop`, on the same mount.
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
            // Best effort: the error that ended it is the one to tell.
            let _ = workshop.unlink(&temporary);
        }
        placed
    }

    /// A new file for reading and appending, under a name that nobody else uses as long as the caller holds the lock.
    pub fn create_temporary(&self, mode: u32) -> io::Result<(OsString, File)> {
        let name = OsString::from(format!(".moving-{}", std::process::id()));
        self.remove_all(&name)?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        let file = self.open_with(&name, flags, mode)?;
        // Whatever the umask is. A volume that refuses modes has its own.
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

    /// Gives the owner, where we are the owner, access to a file or directory of ours that denies it.
    fn let_owner(&self, name: &OsStr) -> bool {
        let Ok(handle) = self.open_with(name, OFlags::PATH, 0) else { return false };
        let Ok(stat) = rustix::fs::fstat(&handle) else { return false };
        let wanted = if is_regular(stat.st_mode) { FILE_MODE } else { DIRECTORY_MODE };
        stat.st_mode & 0o700 != wanted & 0o700
            && chmod_handle(&handle.into(), stat.st_mode & 0o7777 | wanted).is_ok()
    }
}

/// Appends the bytes of `range`, as far as there are any, to `to`.
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

/// What an open answers where something else stands: a link, a FIFO or socket, a directory, no directory.
pub fn is_in_the_way(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NXIO | Errno::ISDIR | Errno::NOTDIR))
}

fn is_regular(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::RegularFile
}

/// Whatever the umask is, and whatever version 0.1 made. A volume that refuses modes has its own.
fn open_to_group(file: impl std::os::fd::AsFd, mode: u32, wanted: u32) {
    if mode & 0o7777 != wanted {
        let _ = rustix::fs::fchmod(file, Mode::from_raw_mode(wanted));
    }
}

/// Of a state directory; `others` may look into it where the log's mode says so.
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
