//! Opens files below a directory handle without following symbolic links. `copy` and `volume` reach the volume only
//! through this: another writer may replace any name with a link at any moment, and a call here then fails (`ELOOP`,
//! `ENOTDIR`, `EXDEV`) and never leaves the directory.
//!
//! `openat2(2)` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` resolves a whole path in one call. Where the kernel has no
//! openat2 (before 5.6) or a seccomp profile refuses it, each name is opened by itself with `O_NOFOLLOW`. This file
//! knows nothing of manifests, logs or hooks.

mod own_files;
mod removal;
mod resolve;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, RawDir, RenameFlags, Stat, StatxFlags};
use rustix::io::Errno;

pub use self::own_files::{copy_range, is_in_the_way, state_mode};
use self::resolve::plain_names;
pub use rustix::fs::{FileType, OFlags};

/// How often an open is repeated when the file is removed at the same moment.
const REMOVED_MEANWHILE: u32 = 100;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// A directory handle. Paths given to its methods are relative and made of plain names: an absolute path or `..`
/// answers `EINVAL`. No symbolic link is followed, not even as the last name.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

impl Dir {
    /// Opens a directory by a path that the administrator gave. Links in it are followed, as usual.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { fd: rustix::fs::openat(CWD, path.as_ref(), DIRECTORY | OFlags::CLOEXEC, Mode::empty())? })
    }

    /// Opens a directory by an absolute path of plain names, none of them a symbolic link. `None` for any other path,
    /// for a missing one, and where the kernel has no openat2(2).
    pub fn open_without_links(path: &Path) -> Option<Self> {
        resolve::without_links(path).map(Self::from_fd)
    }

    /// Wraps a descriptor that is known to be a directory.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The descriptor, without the handle.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// A second, independent handle of the same directory, with its own read position.
    pub fn reopen(&self) -> io::Result<Self> {
        Ok(Self { fd: rustix::fs::openat(&self.fd, c".", DIRECTORY | OFlags::CLOEXEC, Mode::empty())? })
    }

    /// A duplicate of the descriptor: the read position is shared.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { fd: rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)? })
    }

    /// Opens the directory `rel`. `.` and the empty path stand for this directory.
    pub fn open_dir(&self, rel: impl AsRef<Path>) -> io::Result<Self> {
        let rel = rel.as_ref();
        if rel.as_os_str().is_empty() || rel == Path::new(".") {
            return self.reopen();
        }
        Ok(Self { fd: self.resolve(rel, DIRECTORY, Mode::empty())? })
    }

    /// Opens anything with the given flags. `mode` (permission bits) is for a file that `CREATE` makes. `NONBLOCK` is
    /// always added, so that a planted FIFO cannot block the open; it has no effect on regular files.
    pub fn open_with(&self, rel: impl AsRef<Path>, flags: OFlags, mode: u32) -> io::Result<File> {
        Ok(File::from(self.resolve(rel.as_ref(), flags | OFlags::NONBLOCK, Mode::from_raw_mode(mode))?))
    }

    /// Opens an existing file for reading.
    pub fn open_read(&self, rel: impl AsRef<Path>) -> io::Result<File> {
        self.open_with(rel, OFlags::RDONLY, 0)
    }

    /// Creates a file for writing; `EEXIST` if the name is taken.
    pub fn create_new(&self, rel: impl AsRef<Path>, mode: u32) -> io::Result<File> {
        self.open_with(rel, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)
    }

    /// Opens `rel` and checks that it is a regular file and, when opened for writing, has only one link: a write must
    /// not change a file with another name. `flags` must not hold `TRUNC`, which would act before the check.
    ///
    /// # Errors
    /// `InvalidInput` when it is something else, or the error of the open.
    pub fn open_regular(&self, rel: impl AsRef<Path>, flags: OFlags, mode: u32) -> io::Result<File> {
        Ok(self.open_regular_stat(rel, flags, mode)?.0)
    }

    /// As [`Dir::open_regular`], and returns the status that was checked.
    pub fn open_regular_stat(
        &self,
        rel: impl AsRef<Path>,
        flags: OFlags,
        mode: u32,
    ) -> io::Result<(File, Stat)> {
        debug_assert!(!flags.contains(OFlags::TRUNC), "truncate after the check, with set_len");
        let rel = rel.as_ref();
        let mut file = self.open_with(rel, flags, mode)?;
        let mut stat = rustix::fs::fstat(&file)?;
        for _ in 0..REMOVED_MEANWHILE {
            // Removed between open and stat: open whatever has the name now.
            if stat.st_nlink != 0 {
                break;
            }
            file = self.open_with(rel, flags, mode)?;
            stat = rustix::fs::fstat(&file)?;
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if stat.st_nlink > 1 && flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has more than one hard link"));
        }
        Ok((file, stat))
    }

    /// Creates one directory (permission bits in `mode`, less the umask).
    pub fn create_dir(&self, rel: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        self.at_parent(rel.as_ref(), |dir, name| rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode)))
    }

    /// Creates every missing directory of `rel` and opens the last.
    pub fn create_dir_all(&self, rel: impl AsRef<Path>, mode: u32) -> io::Result<Self> {
        let mut at: Option<Self> = None;
        for name in plain_names(rel.as_ref())? {
            let dir = at.as_ref().unwrap_or(self);
            let opened = match dir.open_dir(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match rustix::fs::mkdirat(&dir.fd, name, Mode::from_raw_mode(mode)) {
                        // Another process was faster.
                        Ok(()) | Err(Errno::EXIST) => dir.open_dir(name)?,
                        Err(errno) => return Err(errno.into()),
                    }
                }
                opened => opened?,
            };
            at = Some(opened);
        }
        at.map_or_else(|| self.reopen(), Ok)
    }

    /// The status of the directory.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// Whether another directory is on the same mount. Linux before 5.8 does not tell; there, the same filesystem is
    /// taken to mean the same mount.
    pub fn is_on_mount_of(&self, other: impl AsFd) -> io::Result<bool> {
        let mount = |dir: BorrowedFd<'_>| {
            let found = rustix::fs::statx(dir, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
            (found.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(found.stx_mnt_id)
        };
        match (mount(self.fd.as_fd()), mount(other.as_fd())) {
            (Some(a), Some(b)) => Ok(a == b),
            _ => Ok(self.stat()?.st_dev == rustix::fs::fstat(other)?.st_dev),
        }
    }

    /// The status of an entry. Of a symbolic link: its own.
    pub fn stat_at(&self, rel: impl AsRef<Path>) -> io::Result<Stat> {
        let mut stat = None;
        self.at_parent(rel.as_ref(), |dir, name| {
            stat = Some(rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?);
            Ok(())
        })?;
        stat.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// As [`Dir::stat_at`]; `None` if the entry does not exist.
    pub fn find(&self, rel: impl AsRef<Path>) -> io::Result<Option<Stat>> {
        match self.stat_at(rel) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    /// Moves `from` to `to` below `to_dir`, replacing what is there, as rename(2) does.
    pub fn rename(&self, from: impl AsRef<Path>, to_dir: &Self, to: impl AsRef<Path>) -> io::Result<()> {
        self.at_parent(from.as_ref(), |dir, name| {
            to_dir.at_parent_errno(to.as_ref(), |target, target_name| {
                rustix::fs::renameat(dir, name, target, target_name)
            })
        })
    }

    /// As [`Dir::rename`], but never replaces: an existing `to` answers `EEXIST`. Filesystems without
    /// `RENAME_NOREPLACE` answer `EINVAL`.
    pub fn rename_new(&self, from: impl AsRef<Path>, to_dir: &Self, to: impl AsRef<Path>) -> io::Result<()> {
        self.at_parent(from.as_ref(), |dir, name| {
            to_dir.at_parent_errno(to.as_ref(), |target, target_name| {
                rustix::fs::renameat_with(dir, name, target, target_name, RenameFlags::NOREPLACE)
            })
        })
    }

    /// Removes a file or link.
    pub fn unlink(&self, rel: impl AsRef<Path>) -> io::Result<()> {
        self.at_parent(rel.as_ref(), |dir, name| rustix::fs::unlinkat(dir, name, AtFlags::empty()))
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, rel: impl AsRef<Path>) -> io::Result<()> {
        self.at_parent(rel.as_ref(), |dir, name| rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR))
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, rel: impl AsRef<Path>) -> io::Result<OsString> {
        let mut target = None;
        self.at_parent(rel.as_ref(), |dir, name| {
            target = Some(rustix::fs::readlinkat(dir, name, Vec::new())?);
            Ok(())
        })?;
        Ok(OsString::from_vec(target.map(std::ffi::CString::into_bytes).unwrap_or_default()))
    }

    /// The entries without `.` and `..`, in the filesystem's order. Asks with a stat where the filesystem does not
    /// report the type.
    pub fn entries(&self) -> io::Result<Vec<(OsString, FileType)>> {
        let dir = self.reopen()?;
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut entries = Vec::new();
        let mut read = RawDir::new(&dir.fd, &mut buffer);
        while let Some(entry) = read.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = OsStr::from_bytes(name).to_owned();
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                match self.find(&name)? {
                    Some(stat) => kind = FileType::from_raw_mode(stat.st_mode),
                    None => continue,
                }
            }
            entries.push((name, kind));
        }
        Ok(entries)
    }

    /// fsync(2) of the directory: makes names created, renamed or removed in it durable. False where the filesystem
    /// does not permit it.
    pub fn sync(&self) -> io::Result<bool> {
        match rustix::fs::fsync(&self.fd) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// syncfs(2) of the directory's filesystem.
    pub fn sync_filesystem(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.fd)?)
    }

    fn at_parent(
        &self,
        rel: &Path,
        act: impl FnOnce(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<()>,
    ) -> io::Result<()> {
        Ok(self.at_parent_errno(rel, act)?)
    }

    /// Calls `act` with the directory that holds the last name of `rel`, and that name.
    fn at_parent_errno(
        &self,
        rel: &Path,
        act: impl FnOnce(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<()>,
    ) -> rustix::io::Result<()> {
        plain_names(rel)?;
        let name = rel.file_name().ok_or(Errno::INVAL)?;
        match rel.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                let parent = self.resolve(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
                act(parent.as_fd(), name)
            }
            _ => act(self.fd.as_fd(), name),
        }
    }

    fn resolve(&self, rel: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        resolve::resolve(self.fd.as_fd(), rel, flags, mode)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.fd
    }
}

/// chmod of an `O_PATH` handle, through procfs: fchmod(2) refuses such handles.
pub(crate) fn chmod_handle(handle: &OwnedFd, mode: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    Ok(rustix::fs::chmodat(CWD, &*path, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    pub(super) fn volume() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn a_link_anywhere_on_the_way_is_refused() {
        for with_openat2 in [true, false] {
            resolve::use_openat2(with_openat2);
            let (temp, dir) = volume();
            std::fs::create_dir_all(temp.path().join("real/deep")).unwrap();
            std::fs::write(temp.path().join("real/deep/file"), "x").unwrap();
            symlink("real", temp.path().join("link")).unwrap();
            symlink("file", temp.path().join("real/deep/alias")).unwrap();
            assert!(dir.open_read("real/deep/file").is_ok());
            for path in ["link/deep/file", "real/deep/alias"] {
                dir.open_read(path).unwrap_err();
            }
            dir.open_dir("link").unwrap_err();
            dir.unlink("link/deep/file").unwrap_err();
            dir.rename("real/deep/file", &dir, "link/deep/moved").unwrap_err();
            assert!(temp.path().join("real/deep/file").exists());
        }
        resolve::use_openat2(true);
    }

    #[test]
    fn neither_absolute_paths_nor_parents_are_accepted() {
        let (_temp, dir) = volume();
        for path in ["/etc/passwd", "../x", "a/../../x"] {
            assert_eq!(dir.open_read(path).unwrap_err().raw_os_error(), Some(Errno::INVAL.raw_os_error()));
            dir.create_dir(path, 0o755).unwrap_err();
        }
    }

    #[test]
    fn a_regular_file_with_a_second_link_or_a_fifo_is_refused() {
        let (temp, dir) = volume();
        std::fs::write(temp.path().join("log"), "x").unwrap();
        assert!(dir.open_regular("log", OFlags::WRONLY | OFlags::APPEND, 0o640).is_ok());
        std::fs::hard_link(temp.path().join("log"), temp.path().join("other")).unwrap();
        dir.open_regular("log", OFlags::WRONLY | OFlags::APPEND, 0o640).unwrap_err();
        nix::unistd::mkfifo(&temp.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        dir.open_regular("fifo", OFlags::RDONLY, 0).unwrap_err();
    }
}
