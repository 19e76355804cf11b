//! What the requests do to the backing directory: each goes through the gate and the manners first. `serve.rs` answers the kernel.
//!
//! The kernel checks permissions (`default_permissions`), so requests are carried out with the daemon's rights and new
//! entries are given to the caller. It sends neither `syncfs(2)` (FUSE has the request for virtiofs only) nor advisory locks
//! (they stay local to the mount), so no fault can be put there.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{FileAttr, FileHandle, FileType, INodeNo, Request, TimeOrNow};
use rustix::fs::{self as sys, AtFlags, Gid, Mode, OFlags, RawDir, Stat, Timestamps, Uid};

use crate::attributes::{attributes, file_type, timespec};
use crate::backing::{backing_flags, drop_special_bits};
use crate::fault::Op;
use crate::files::{Files, proc_path};
use crate::gate::Gate;
use crate::inodes::{Handle, Inodes};
use crate::manners::{Manner, Manners};

/// Set-user-ID and set-group-ID.
const SUID_SGID: u32 = 0o6000;

/// A backing directory, served.
#[derive(Debug)]
pub struct Passthrough {
    gate: Arc<Gate>,
    pub(crate) inodes: Inodes,
    pub(crate) files: Files,
    pub(crate) manners: Manners,
    pub(crate) ttl: Duration,
}

impl Passthrough {
    /// Serves `backing`. The kernel may believe names and attributes for `ttl`, as an NFS client does for seconds.
    pub fn new(backing: &Path, gate: Arc<Gate>, manners: Manners, ttl: Duration) -> io::Result<Passthrough> {
        let root = sys::open(backing, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Passthrough { gate, inodes: Inodes::new(root), files: Files::default(), manners, ttl })
    }

    /// Asks the gate and the manners whether the operation may happen to what stands at `path`.
    fn pass(&self, op: Op, len: u64, path: impl Fn() -> Option<PathBuf>) -> io::Result<u64> {
        let allowed = self.gate.pass(op, len, &path).map_err(io::Error::from_raw_os_error)?;
        match self.manners.refusal(op, path) {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(allowed),
        }
    }

    /// An inode, once the operation may pass.
    pub(crate) fn inode(&self, op: Op, number: INodeNo) -> io::Result<Handle> {
        let handle = self.inodes.get(number.0);
        self.pass(op, 0, || handle.as_ref().ok()?.path())?;
        handle
    }

    /// A directory in which something happens to `name`, once the operation may pass, and the name as it is spelt there.
    pub(crate) fn parent(&self, op: Op, number: INodeNo, name: &OsStr) -> io::Result<(Handle, OsString)> {
        let handle = self.inodes.get(number.0);
        self.pass(op, 0, || Some(handle.as_ref().ok()?.path()?.join(name)))?;
        let handle = handle?;
        let name = self.manners.spelling(&handle, name);
        Ok((handle, name))
    }

    /// An open file, once the operation may pass, and how many of `len` bytes the gate allows.
    pub(crate) fn file(&self, op: Op, fh: FileHandle, len: u64) -> io::Result<(Arc<OwnedFd>, u64)> {
        let file = self.files.get(fh)?;
        let allowed = self.pass(op, len, || std::fs::read_link(proc_path(&*file)).ok())?;
        Ok((file, allowed))
    }

    /// Attributes as this volume shows them.
    pub(crate) fn shown(&self, number: INodeNo, stat: &Stat) -> FileAttr {
        self.manners.shown(attributes(number, stat))
    }

    /// EBUSY where a volume that does not permit it is asked to move or remove an open file.
    pub(crate) fn not_busy(&self, parent: &Handle, name: &OsStr) -> io::Result<()> {
        if !self.manners.has(Manner::BusyOpen) {
            return Ok(());
        }
        match sys::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if self.files.holds(&stat) => Err(io::Error::from_raw_os_error(libc::EBUSY)),
            _ => Ok(()),
        }
    }

    pub(crate) fn entry(&self, parent: &Handle, name: &OsStr) -> io::Result<FileAttr> {
        let (number, stat) = self.inodes.lookup(parent.as_fd(), name)?;
        Ok(self.shown(INodeNo(number), &stat))
    }

    /// Gives a new entry to the caller and restores the special bits that giving away takes off (`chown(2)`).
    pub(crate) fn adopt(
        &self,
        req: &Request,
        parent: &Handle,
        name: &OsStr,
        mode: u32,
    ) -> io::Result<FileAttr> {
        let mut attr = self.entry(parent, name)?;
        let (uid, gid) = self.manners.owner_of_new(req.uid(), req.gid());
        if (uid, gid) == (attr.uid, attr.gid) {
            return Ok(attr);
        }
        // In a directory with setgid the group comes from the directory.
        let inherits = Inodes::stat(parent)?.st_mode & 0o2000 != 0;
        let gid = (!inherits).then(|| Gid::from_raw(gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match sys::chownat(parent, name, Some(Uid::from_raw(uid)), gid, flags) {
            // A daemon that is not root serves one user, whose files these are already.
            Err(rustix::io::Errno::PERM) => return Ok(attr),
            result => result?,
        }
        if mode & SUID_SGID != 0 && attr.kind == FileType::RegularFile {
            sys::chmodat(parent, name, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?;
        }
        let number = attr.ino;
        attr = self.shown(number, &Inodes::stat(&self.inodes.get(number.0)?)?);
        Ok(attr)
    }

    #[allow(clippy::too_many_arguments)] // as many as setattr has
    pub(crate) fn change(
        &self,
        req: &Request,
        number: INodeNo,
        mode: Option<u32>,
        owner: (Option<u32>, Option<u32>),
        size: Option<u64>,
        times: (Option<TimeOrNow>, Option<TimeOrNow>),
        fh: Option<FileHandle>,
    ) -> io::Result<FileAttr> {
        let handle = self.inodes.get(number.0)?;
        let asked = [
            (Op::Truncate, size.is_some()),
            (Op::Chown, owner != (None, None)),
            (Op::Chmod, mode.is_some()),
            (Op::Utimens, times.0.is_some() || times.1.is_some()),
        ];
        for (op, _) in asked.into_iter().filter(|(_, asked)| *asked) {
            self.pass(op, 0, || handle.path())?;
            self.manners.squashed(op, req.uid(), &Inodes::stat(&handle)?)?;
        }
        if let Some(size) = size {
            if let Some(file) = fh.and_then(|fh| self.files.get(fh).ok()) {
                sys::ftruncate(&*file, size)?;
            } else {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                sys::ftruncate(sys::open(handle.proc_path(), flags, Mode::empty())?, size)?;
            }
            if req.uid() != 0 {
                drop_special_bits(&handle.proc_path(), &Inodes::stat(&handle)?)?;
            }
        }
        if owner != (None, None) && !self.manners.has(Manner::OwnerIgnored) {
            let (uid, gid) = (owner.0.map(Uid::from_raw), owner.1.map(Gid::from_raw));
            sys::chownat(&handle, "", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        if let Some(mode) = mode.filter(|_| !self.manners.has(Manner::ModeIgnored)) {
            sys::chmod(handle.proc_path(), Mode::from_raw_mode(mode & 0o7777))?;
        }
        if (times.0.is_some() || times.1.is_some()) && !self.manners.has(Manner::TimesIgnored) {
            let times = Timestamps { last_access: timespec(times.0), last_modification: timespec(times.1) };
            sys::utimensat(sys::CWD, handle.proc_path(), &times, AtFlags::empty())?;
        }
        Ok(self.shown(number, &Inodes::stat(&handle)?))
    }

    /// Calls `add(number, next cookie, type, name, attributes)` for each entry after `cookie` until it answers "full".
    #[allow(clippy::too_many_arguments)] // those of FUSE's readdir
    pub(crate) fn list(
        &self,
        number: INodeNo,
        fh: FileHandle,
        cookie: u64,
        plus: bool,
        mut add: impl FnMut(INodeNo, u64, FileType, &OsStr, Option<&FileAttr>) -> bool,
    ) -> io::Result<()> {
        let (dir, _) = self.file(Op::Readdir, fh, 0)?;
        let parent = self.inodes.get(number.0)?;
        sys::seek(&*dir, sys::SeekFrom::Start(cookie))?;
        let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&*dir, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let cookie = entry.next_entry_cookie();
            let kind = file_type(entry.file_type());
            if !plus || name == "." || name == ".." {
                let full = if plus {
                    let attr = self.shown(INodeNo(entry.ino()), &Inodes::stat(&parent)?);
                    add(attr.ino, cookie, kind, name, Some(&attr))
                } else {
                    add(INodeNo(entry.ino()), cookie, kind, name, None)
                };
                if full {
                    break;
                }
                continue;
            }
            let attr = match self.entry(&parent, name) {
                Ok(attr) => attr,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if add(attr.ino, cookie, kind, name, Some(&attr)) {
                // Not delivered, so the kernel will not give this lookup back.
                self.inodes.forget(attr.ino.0, 1);
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn seek(&self, fh: FileHandle, offset: i64, whence: i32) -> io::Result<i64> {
        let (file, _) = self.file(Op::Lseek, fh, 0)?;
        let start = u64::try_from(offset).unwrap_or(0);
        let to = match whence {
            libc::SEEK_DATA => sys::SeekFrom::Data(start),
            libc::SEEK_HOLE => sys::SeekFrom::Hole(start),
            libc::SEEK_END => sys::SeekFrom::End(offset),
            _ => sys::SeekFrom::Start(start),
        };
        i64::try_from(sys::seek(&*file, to)?).map_err(io::Error::other)
    }

    /// Writes, and takes the special bits off the file where the kernel asks for it.
    pub(crate) fn put(&self, fh: FileHandle, offset: u64, data: &[u8], killing: bool) -> io::Result<u32> {
        let (file, allowed) = self.file(Op::Write, fh, data.len() as u64)?;
        let allowed = usize::try_from(allowed).map_err(io::Error::other)?;
        let written = rustix::io::pwrite(&*file, &data[..allowed], offset)?;
        if killing {
            drop_special_bits(&proc_path(&*file), &sys::fstat(&*file)?)?;
        }
        u32::try_from(written).map_err(io::Error::other)
    }

    pub(crate) fn move_to(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: u32,
    ) -> io::Result<()> {
        let (parent, name) = self.parent(Op::Rename, from.0, from.1)?;
        let to_parent = self.inodes.get(to.0.0)?;
        let new_name = self.manners.spelling(&to_parent, to.1);
        self.manners.rename_flags(flags)?;
        self.not_busy(&parent, &name)?;
        self.not_busy(&to_parent, &new_name)?;
        let flags = sys::RenameFlags::from_bits_retain(flags);
        Ok(sys::renameat_with(&parent, &name, &to_parent, &new_name, flags)?)
    }

    pub(crate) fn copy_range(
        &self,
        from: (FileHandle, u64),
        to: (FileHandle, u64),
        len: u64,
    ) -> io::Result<u32> {
        let (target, allowed) = self.file(Op::CopyFileRange, to.0, len)?;
        let source = self.files.get(from.0)?;
        let (mut from, mut to) = (from.1, to.1);
        // One answer carries 32 bits; the caller asks again for the rest.
        let len = usize::try_from(allowed.min(1 << 30)).map_err(io::Error::other)?;
        let copied = sys::copy_file_range(&*source, Some(&mut from), &*target, Some(&mut to), len)?;
        u32::try_from(copied).map_err(io::Error::other)
    }

    pub(crate) fn stat(&self, number: INodeNo, fh: Option<FileHandle>) -> io::Result<Stat> {
        match fh.filter(|fh| self.files.get(*fh).is_ok()) {
            Some(fh) => Ok(sys::fstat(&*self.file(Op::Getattr, fh, 0)?.0)?),
            None => Inodes::stat(&self.inode(Op::Getattr, number)?),
        }
    }

    pub(crate) fn remove(&self, parent: INodeNo, name: &OsStr) -> io::Result<()> {
        let (parent, name) = self.parent(Op::Unlink, parent, name)?;
        self.not_busy(&parent, &name)?;
        Ok(sys::unlinkat(&parent, &name, AtFlags::empty())?)
    }

    pub(crate) fn open_again(&self, number: INodeNo, flags: i32) -> io::Result<OwnedFd> {
        let handle = self.inode(Op::Open, number)?;
        let flags = backing_flags(flags) - (OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW);
        Ok(sys::open(handle.proc_path(), flags, Mode::empty())?)
    }

    pub(crate) fn allocate(&self, fh: FileHandle, mode: i32, offset: u64, length: u64) -> io::Result<()> {
        let (file, _) = self.file(Op::Fallocate, fh, 0)?;
        Ok(sys::fallocate(
            &*file,
            sys::FallocateFlags::from_bits_retain(mode.cast_unsigned()),
            offset,
            length,
        )?)
    }

    pub(crate) fn link_to(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: &Path,
    ) -> io::Result<FileAttr> {
        let (parent, name) = self.parent(Op::Symlink, parent, name)?;
        sys::symlinkat(to, &parent, &name)?;
        self.adopt(req, &parent, &name, 0)
    }
}
