//! Opening below a directory handle without following symbolic links: the one way in which `copy` and `volume`
//! reach the volume. Another writer on the volume may swap any name for a link at any moment; a call here then fails
//! (`ELOOP`, `ENOTDIR`, `EXDEV`), it never leaves the directory that the handle stands for.
//!
//! `openat2(2)` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` resolves a path of several names in one call. Where
//! the kernel has no openat2 (before 5.6) or a seccomp profile refuses it, each name is opened by itself with
//! `O_NOFOLLOW`. This file knows nothing of manifests, logs or hooks.

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

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, Stat, StatxFlags};
use rustix::io::Errno;

pub use self::own_files::{copy_range, is_in_the_way, state_mode};
use self::resolve::plain_names;

/// How often a file is opened anew that is removed in the moment in which it is opened.
const REMOVED_MEANWHILE: u32 = 100;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// A handle of a directory. Every name given to its methods is relative to it, made of plain names only
/// (neither absolute nor containing `..`: those answer `EINVAL`), and no symbolic link is followed on the way,
/// the last name included.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

impl Dir {
    /// Opens a directory by a path that the administrator gave: links in it are followed, as in any path.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { fd: rustix::fs::openat(CWD, path.as_ref(), DIRECTORY | OFlags::CLOEXEC, Mode::empty())? })
    }

    /// Opens a directory by an absolute path of plain names if none of them is a symbolic link. `None` for any other,
    /// for one that is not there, and where the kernel has no openat2(2).
    pub fn open_without_links(path: &Path) -> Option<Self> {
        resolve::without_links(path).map(Self::from_fd)
    }

    /// Takes over a descriptor that is known to be a directory.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Gives up the handle for its descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// A second handle of the same directory, sharing nothing but the directory (its read position is its own).
    pub fn reopen(&self) -> io::Result<Self> {
        Ok(Self { fd: rustix::fs::openat(&self.fd, c".", DIRECTORY | OFlags::CLOEXEC, Mode::empty())? })
    }

    /// Another descriptor of the same handle, its read position shared.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { fd: rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)? })
    }

    /// Opens the directory `rel`; `.` or the empty path is this one.
    pub fn open_dir(&self, rel: impl AsRef<Path>) -> io::Result<Self> {
        let rel = rel.as_ref();
        if rel.as_os_str().is_empty() || rel == Path::new(".") {
            return self.reopen();
        }
        Ok(Self { fd: self.resolve(rel, DIRECTORY, Mode::empty())? })
    }

    /// Opens anything with the given flags. `mode` (permission bits) is for a file that `CREATE` makes.
    /// A FIFO planted under the name cannot block the call unless `flags` asks for it: `NONBLOCK` is added and,
    /// as it means nothing for regular files, left on.
    pub fn open_with(&self, rel: impl AsRef<Path>, flags: OFlags, mode: u32) -> io::Result<File> {
        Ok(File::from(self.resolve(rel.as_ref(), flags | OFlags::NONBLOCK, Mode::from_raw_mode(mode))?))
    }

    /// Opens an existing file for reading.
    pub fn open_read(&self, rel: impl AsRef<Path>) -> io::Result<File> {
        self.open_with(rel, OFlags::RDONLY, 0)
    }

    /// Creates a file that must not exist yet (`EEXIST` otherwise), open for writing.
    pub fn create_new(&self, rel: impl AsRef<Path>, mode: u32) -> io::Result<File> {
        self.open_with(rel, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)
    }

    /// Opens `rel` and makes sure that it is a regular file and, where it is opened for writing, has exactly one link, so that
    /// writing to it changes nothing that has another name. `flags` may hold `CREATE`, `APPEND` and so on, but not `TRUNC`, which would
    /// act before the check.
    ///
    /// # Errors
    /// `InvalidInput` when it is something else, beside those of the open itself.
    pub fn open_regular(&self, rel: impl AsRef<Path>, flags: OFlags, mode: u32) -> io::Result<File> {
        Ok(self.open_regular_stat(rel, flags, mode)?.0)
    }

    /// As [`Dir::open_regular`], with the status that it has looked at.
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
            // Removed between the two calls: what has the name now is what was asked for.
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
                        // Another process made it between the two calls: as good.
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

    /// The status of the directory itself.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// Whether another directory is on the same mount: Linux tells since 5.8; where it does not, the same filesystem
    /// is taken for that.
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

    /// The status of an entry; of the link itself where it is a symbolic link.
    pub fn stat_at(&self, rel: impl AsRef<Path>) -> io::Result<Stat> {
        let mut stat = None;
        self.at_parent(rel.as_ref(), |dir, name| {
            stat = Some(rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?);
            Ok(())
        })?;
        stat.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// As [`Dir::stat_at`], with `None` for an entry that is not there.
    pub fn find(&self, rel: impl AsRef<Path>) -> io::Result<Option<Stat>> {
        match self.stat_at(rel) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    /// Moves `from` to `to` below another handle (or this one), replacing what is there, as rename(2) does.
    pub fn rename(&self, from: impl AsRef<Path>, to_dir: &Self, to: impl AsRef<Path>) -> io::Result<()> {
        self.at_parent(from.as_ref(), |dir, name| {
            to_dir.at_parent_errno(to.as_ref(), |target, target_name| {
                rustix::fs::renameat(dir, name, target, target_name)
            })
        })
    }

    /// As [`Dir::rename`], but an existing `to` is left alone and answers `EEXIST`. Filesystems without
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

    /// The entries, without `.` and `..`, in the order of the filesystem. Where the filesystem does not tell the
    /// type, it is asked for.
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

    /// fsync(2) of the directory: names created, renamed or removed in it are durable after it. False where the filesystem
    /// does not permit that.
    pub fn sync(&self) -> io::Result<bool> {
        match rustix::fs::fsync(&self.fd) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// syncfs(2) of the filesystem that the directory is on.
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

    /// Runs `act` on the directory that holds the last name of `rel`, and that name.
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

/// chmod of what an `O_PATH` handle stands for, through procfs: fchmod(2) refuses such handles.
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
