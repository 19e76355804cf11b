//! Opens a path of plain names below a directory handle, following no symbolic link.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// False once the kernel has answered `ENOSYS` to openat2(2).
static OPENAT2: AtomicBool = AtomicBool::new(true);

/// Opens a directory by an absolute path without links. `None` for any other path, for a missing one, and where the
/// kernel has no openat2(2).
pub(super) fn without_links(path: &Path) -> Option<OwnedFd> {
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) || !OPENAT2.load(Ordering::Relaxed) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()
}

/// Opens `rel` below `dir`, following no link.
pub(super) fn resolve(
    dir: BorrowedFd<'_>,
    rel: &Path,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let names = plain_names(rel)?;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if let [name] = names[..] {
        // A single name cannot leave the directory: O_NOFOLLOW is enough.
        return refuse_link(rustix::fs::openat(dir, name, flags, mode)?, flags);
    }
    if OPENAT2.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(dir, rel, flags, mode, resolve) {
            Err(Errno::NOSYS) => OPENAT2.store(false, Ordering::Relaxed),
            // EPERM can come from a seccomp profile, E2BIG and EAGAIN from an old or busy kernel. PATH_MAX limits a
            // whole path, but not a walk name by name.
            Err(Errno::PERM | Errno::TOOBIG | Errno::AGAIN | Errno::NAMETOOLONG) => {}
            Err(errno) => return Err(errno),
            Ok(fd) => return refuse_link(fd, flags),
        }
    }
    let mut at: Option<OwnedFd> = None;
    let (last, parents) = names.split_last().ok_or(Errno::INVAL)?;
    for name in parents {
        let parent = at.as_ref().map_or(dir, AsFd::as_fd);
        let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = Some(rustix::fs::openat(parent, *name, through, Mode::empty())?);
    }
    let parent = at.as_ref().map_or(dir, AsFd::as_fd);
    refuse_link(rustix::fs::openat(parent, *last, flags, mode)?, flags)
}

/// `O_PATH | O_NOFOLLOW` opens the link itself and does not fail (open(2)). Here it answers `ELOOP` as every other open
/// does. With `O_DIRECTORY` the kernel has refused already.
fn refuse_link(fd: OwnedFd, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    if flags.contains(OFlags::PATH) && !flags.contains(OFlags::DIRECTORY) {
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
    }
    Ok(fd)
}

/// The names of a relative path; `EINVAL` for anything that is not a plain name.
pub(super) fn plain_names(rel: &Path) -> rustix::io::Result<Vec<&OsStr>> {
    rel.components()
        .map(|part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(Errno::INVAL),
        })
        .collect()
}

/// For tests: behaves as a kernel with or without openat2(2).
#[cfg(test)]
pub(super) fn use_openat2(yes: bool) {
    OPENAT2.store(yes, Ordering::Relaxed);
}
