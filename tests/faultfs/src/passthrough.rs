//! The filesystem itself: each request goes through the gate and then to the backing directory.
//!
//! The kernel checks permissions (`default_permissions`), so requests are carried out with the daemon's rights and new
//! entries are given to the caller. It sends neither `syncfs(2)` (FUSE has the request for virtiofs only) nor advisory locks
//! (they stay local to the mount), so no fault can be put there.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{self as sys, AtFlags, Gid, Mode, OFlags, RawDir, Stat, Timestamps, Uid, XattrFlags};

use crate::attributes::{attributes, file_type, timespec};
use crate::fault::Op;
use crate::files::{Files, proc_path};
use crate::gate::Gate;
use crate::inodes::{Handle, Inodes};

/// Set-user-ID and set-group-ID.
const SUID_SGID: u32 = 0o6000;
/// The largest write in one request: what NFS servers commonly offer (`wsize=1048576`).
const MAX_WRITE: u32 = 1 << 20;

/// A backing directory, served.
#[derive(Debug)]
pub struct Passthrough {
    gate: Arc<Gate>,
    inodes: Inodes,
    files: Files,
    ttl: Duration,
}

impl Passthrough {
    /// Serves `backing`. The kernel may believe names and attributes for `ttl`, as an NFS client does for seconds.
    pub fn new(backing: &Path, gate: Arc<Gate>, ttl: Duration) -> io::Result<Passthrough> {
        let root = sys::open(backing, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Passthrough { gate, inodes: Inodes::new(root), files: Files::default(), ttl })
    }

    /// An inode, once the gate has let the operation pass.
    fn inode(&self, op: Op, number: INodeNo) -> io::Result<Handle> {
        let handle = self.inodes.get(number.0);
        self.gate.pass(op, 0, || handle.as_ref().ok()?.path()).map_err(io::Error::from_raw_os_error)?;
        handle
    }

    /// A directory in which something happens to `name`, once the gate has let it pass.
    fn parent(&self, op: Op, number: INodeNo, name: &OsStr) -> io::Result<Handle> {
        let handle = self.inodes.get(number.0);
        let path = || Some(handle.as_ref().ok()?.path()?.join(name));
        self.gate.pass(op, 0, path).map_err(io::Error::from_raw_os_error)?;
        handle
    }

    /// An open file, once the gate has let the operation pass, and how many of `len` bytes it allows.
    fn file(&self, op: Op, fh: FileHandle, len: u64) -> io::Result<(Arc<OwnedFd>, u64)> {
        let file = self.files.get(fh)?;
        let path = || std::fs::read_link(proc_path(&*file)).ok();
        let allowed = self.gate.pass(op, len, path).map_err(io::Error::from_raw_os_error)?;
        Ok((file, allowed))
    }

    fn entry(&self, parent: &Handle, name: &OsStr) -> io::Result<FileAttr> {
        let (number, stat) = self.inodes.lookup(parent.as_fd(), name)?;
        Ok(attributes(INodeNo(number), &stat))
    }

    /// Gives a new entry to the caller and restores the special bits that giving away takes off (`chown(2)`).
    fn adopt(&self, req: &Request, parent: &Handle, name: &OsStr, mode: u32) -> io::Result<FileAttr> {
        let mut attr = self.entry(parent, name)?;
        if (req.uid(), req.gid()) == (attr.uid, attr.gid) {
            return Ok(attr);
        }
        // In a directory with setgid the group comes from the directory.
        let inherits = Inodes::stat(parent)?.st_mode & 0o2000 != 0;
        let gid = (!inherits).then(|| Gid::from_raw(req.gid()));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match sys::chownat(parent, name, Some(Uid::from_raw(req.uid())), gid, flags) {
            // A daemon that is not root serves one user, whose files these are already.
            Err(rustix::io::Errno::PERM) => return Ok(attr),
            result => result?,
        }
        if mode & SUID_SGID != 0 && attr.kind == FileType::RegularFile {
            sys::chmodat(parent, name, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?;
        }
        let number = attr.ino;
        attr = attributes(number, &Inodes::stat(&self.inodes.get(number.0)?)?);
        Ok(attr)
    }

    #[allow(clippy::too_many_arguments)] // as many as setattr has
    fn change(
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
            self.gate.pass(op, 0, || handle.path()).map_err(io::Error::from_raw_os_error)?;
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
        if owner != (None, None) {
            let (uid, gid) = (owner.0.map(Uid::from_raw), owner.1.map(Gid::from_raw));
            sys::chownat(&handle, "", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        if let Some(mode) = mode {
            sys::chmod(handle.proc_path(), Mode::from_raw_mode(mode & 0o7777))?;
        }
        if times.0.is_some() || times.1.is_some() {
            let times = Timestamps { last_access: timespec(times.0), last_modification: timespec(times.1) };
            sys::utimensat(sys::CWD, handle.proc_path(), &times, AtFlags::empty())?;
        }
        Ok(attributes(number, &Inodes::stat(&handle)?))
    }

    /// Calls `add(number, next cookie, type, name, attributes)` for each entry after `cookie` until it answers "full".
    fn list(
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
                    let attr = attributes(INodeNo(entry.ino()), &Inodes::stat(&parent)?);
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
}

/// Answers with the value or with the error's errno.
macro_rules! answer {
    ($reply:ident, $result:expr, $value:pat => $success:expr) => {
        match $result {
            Ok($value) => $success,
            Err(error) => $reply.error(Errno::from(io::Error::from(error))),
        }
    };
}

impl Filesystem for Passthrough {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_POSIX_ACL
            // Without this the kernel asks for security.capability before every write.
            | InitFlags::FUSE_HANDLE_KILLPRIV_V2
            | InitFlags::FUSE_ASYNC_DIO;
        for flag in wanted.iter() {
            // A kernel without one of them serves as well, only slower.
            let _ = config.add_capabilities(flag);
        }
        config.set_max_write(MAX_WRITE).map_err(|_| io::Error::other("max_write"))?;
        config.set_max_background(256).map_err(|_| io::Error::other("max_background"))?;
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let result = self.parent(Op::Lookup, parent, name).and_then(|parent| self.entry(&parent, name));
        answer!(reply, result, attr => reply.entry(&self.ttl, &attr, Generation(0)));
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.inodes.forget(ino.0, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let result = match fh.and_then(|fh| self.files.get(fh).ok()) {
            Some(file) => self
                .gate
                .pass(Op::Getattr, 0, || std::fs::read_link(proc_path(&*file)).ok())
                .map_err(io::Error::from_raw_os_error)
                .and_then(|_| Ok(sys::fstat(&*file)?)),
            None => self.inode(Op::Getattr, ino).and_then(|handle| Inodes::stat(&handle)),
        };
        answer!(reply, result, stat => reply.attr(&self.ttl, &attributes(ino, &stat)));
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let result = self.change(req, ino, mode, (uid, gid), size, (atime, mtime), fh);
        answer!(reply, result, attr => reply.attr(&self.ttl, &attr));
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        let result =
            self.inode(Op::Readlink, ino).and_then(|handle| Ok(sys::readlinkat(&handle, "", Vec::new())?));
        answer!(reply, result, target => reply.data(target.as_bytes()));
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let result = self.parent(Op::Mknod, parent, name).and_then(|parent| {
            let kind = sys::FileType::from_raw_mode(mode);
            sys::mknodat(&parent, name, kind, Mode::from_raw_mode(mode & 0o7777), rdev.into())?;
            self.adopt(req, &parent, name, mode)
        });
        answer!(reply, result, attr => reply.entry(&self.ttl, &attr, Generation(0)));
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        let result = self.parent(Op::Mkdir, parent, name).and_then(|parent| {
            sys::mkdirat(&parent, name, Mode::from_raw_mode(mode & 0o7777))?;
            self.adopt(req, &parent, name, mode)
        });
        answer!(reply, result, attr => reply.entry(&self.ttl, &attr, Generation(0)));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self
            .parent(Op::Unlink, parent, name)
            .and_then(|parent| Ok(sys::unlinkat(&parent, name, AtFlags::empty())?));
        answer!(reply, result, () => reply.ok());
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self
            .parent(Op::Rmdir, parent, name)
            .and_then(|parent| Ok(sys::unlinkat(&parent, name, AtFlags::REMOVEDIR)?));
        answer!(reply, result, () => reply.ok());
    }

    fn symlink(&self, req: &Request, parent: INodeNo, link_name: &OsStr, target: &Path, reply: ReplyEntry) {
        let result = self.parent(Op::Symlink, parent, link_name).and_then(|parent| {
            sys::symlinkat(target, &parent, link_name)?;
            self.adopt(req, &parent, link_name, 0)
        });
        answer!(reply, result, attr => reply.entry(&self.ttl, &attr, Generation(0)));
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let result = self.parent(Op::Rename, parent, name).and_then(|from| {
            let to = self.inodes.get(newparent.0)?;
            let flags = sys::RenameFlags::from_bits_retain(flags.bits());
            Ok(sys::renameat_with(&from, name, &to, newname, flags)?)
        });
        answer!(reply, result, () => reply.ok());
    }

    fn link(&self, _req: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let result = self.inode(Op::Link, ino).and_then(|handle| {
            let parent = self.inodes.get(newparent.0)?;
            sys::linkat(sys::CWD, handle.proc_path(), &parent, newname, AtFlags::SYMLINK_FOLLOW)?;
            self.entry(&parent, newname)
        });
        answer!(reply, result, attr => reply.entry(&self.ttl, &attr, Generation(0)));
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let result = self.inode(Op::Open, ino).and_then(|handle| {
            let flags = backing_flags(flags.0) - (OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW);
            Ok(sys::open(handle.proc_path(), flags, Mode::empty())?)
        });
        answer!(reply, result, file => reply.opened(self.files.add(file), FopenFlags::empty()));
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let result = self.parent(Op::Create, parent, name).and_then(|parent| {
            let flags = backing_flags(flags) | OFlags::CREATE | OFlags::NOFOLLOW;
            let file = sys::openat(&parent, name, flags, Mode::from_raw_mode(mode & 0o7777))?;
            Ok((self.adopt(req, &parent, name, mode)?, file))
        });
        answer!(reply, result, (attr, file) => {
            reply.created(&self.ttl, &attr, Generation(0), self.files.add(file), FopenFlags::empty());
        });
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        thread_local!(static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        BUFFER.with_borrow_mut(|buffer| {
            let result = self.file(Op::Read, fh, size.into()).and_then(|(file, allowed)| {
                let allowed = usize::try_from(allowed).map_err(io::Error::other)?;
                if buffer.len() < allowed {
                    buffer.resize(allowed, 0);
                }
                Ok(rustix::io::pread(&*file, &mut buffer[..allowed], offset)?)
            });
            answer!(reply, result, len => reply.data(&buffer[..len]));
        });
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let result = self.file(Op::Write, fh, data.len() as u64).and_then(|(file, allowed)| {
            let allowed = usize::try_from(allowed).map_err(io::Error::other)?;
            let written = rustix::io::pwrite(&*file, &data[..allowed], offset)?;
            if write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
                drop_special_bits(&proc_path(&*file), &sys::fstat(&*file)?)?;
            }
            u32::try_from(written).map_err(io::Error::other)
        });
        answer!(reply, result, written => reply.written(written));
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        let result = self.file(Op::Flush, fh, 0);
        answer!(reply, result, _ => reply.ok());
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.files.remove(fh);
        reply.ok();
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        let result = self.file(Op::Fsync, fh, 0).and_then(|(file, _)| sync(&file, datasync));
        answer!(reply, result, () => reply.ok());
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let result = self.inode(Op::Opendir, ino).and_then(|handle| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(sys::open(handle.proc_path(), flags, Mode::empty())?)
        });
        answer!(reply, result, dir => reply.opened(self.files.add(dir), FopenFlags::empty()));
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let result =
            self.list(ino, fh, offset, false, |ino, next, kind, name, _| reply.add(ino, next, kind, name));
        answer!(reply, result, () => reply.ok());
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let ttl = self.ttl;
        let result = self.list(ino, fh, offset, true, |ino, next, _, name, attr| {
            attr.is_some_and(|attr| reply.add(ino, next, name, &ttl, attr, Generation(0)))
        });
        answer!(reply, result, () => reply.ok());
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.files.remove(fh);
        reply.ok();
    }

    fn fsyncdir(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        let result = self.file(Op::Fsyncdir, fh, 0).and_then(|(dir, _)| sync(&dir, datasync));
        answer!(reply, result, () => reply.ok());
    }

    fn statfs(&self, _req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let result = self.inode(Op::Statfs, ino).and_then(|handle| Ok(rustix::fs::fstatvfs(handle.as_fd())?));
        answer!(reply, result, of => reply.statfs(
            of.f_blocks,
            of.f_bfree,
            of.f_bavail,
            of.f_files,
            of.f_ffree,
            u32::try_from(of.f_bsize).unwrap_or(4096),
            u32::try_from(of.f_namemax).unwrap_or(255),
            u32::try_from(of.f_frsize).unwrap_or(4096),
        ));
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let result = self.inode(Op::Setxattr, ino).and_then(|handle| {
            let flags = XattrFlags::from_bits_retain(flags.cast_unsigned());
            Ok(sys::setxattr(handle.proc_path(), name, value, flags)?)
        });
        answer!(reply, result, () => reply.ok());
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let mut value = vec![0; size as usize];
        let result = self
            .inode(Op::Getxattr, ino)
            .and_then(|handle| Ok(sys::getxattr(handle.proc_path(), name, &mut value[..])?));
        answer!(reply, result, len => sized(reply, size, len, &value));
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let mut names = vec![0; size as usize];
        let result = self
            .inode(Op::Listxattr, ino)
            .and_then(|handle| Ok(sys::listxattr(handle.proc_path(), &mut names[..])?));
        answer!(reply, result, len => sized(reply, size, len, &names));
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self
            .inode(Op::Removexattr, ino)
            .and_then(|handle| Ok(sys::removexattr(handle.proc_path(), name)?));
        answer!(reply, result, () => reply.ok());
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let result = self.file(Op::Fallocate, fh, 0).and_then(|(file, _)| {
            let mode = sys::FallocateFlags::from_bits_retain(mode.cast_unsigned());
            Ok(sys::fallocate(&*file, mode, offset, length)?)
        });
        answer!(reply, result, () => reply.ok());
    }

    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let result = self.file(Op::Lseek, fh, 0).and_then(|(file, _)| {
            let start = u64::try_from(offset).unwrap_or(0);
            let to = match whence {
                libc::SEEK_DATA => sys::SeekFrom::Data(start),
                libc::SEEK_HOLE => sys::SeekFrom::Hole(start),
                libc::SEEK_END => sys::SeekFrom::End(offset),
                _ => sys::SeekFrom::Start(start),
            };
            i64::try_from(sys::seek(&*file, to)?).map_err(io::Error::other)
        });
        answer!(reply, result, offset => reply.offset(offset));
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        mut offset_in: u64,
        _ino_out: INodeNo,
        fh_out: FileHandle,
        mut offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let result = self.file(Op::CopyFileRange, fh_out, len).and_then(|(to, allowed)| {
            let from = self.files.get(fh_in)?;
            // One answer carries 32 bits; the caller asks again for the rest.
            let len = usize::try_from(allowed.min(1 << 30)).map_err(io::Error::other)?;
            let copied =
                sys::copy_file_range(&*from, Some(&mut offset_in), &*to, Some(&mut offset_out), len)?;
            u32::try_from(copied).map_err(io::Error::other)
        });
        answer!(reply, result, copied => reply.written(copied));
    }
}

/// The caller's open(2) flags, less what the kernel has dealt with: `O_DIRECT` would ask alignment of our buffers.
fn backing_flags(flags: i32) -> OFlags {
    (OFlags::from_bits_retain(flags.cast_unsigned()) - (OFlags::DIRECT | OFlags::NOCTTY)) | OFlags::CLOEXEC
}

fn sync(file: &OwnedFd, datasync: bool) -> io::Result<()> {
    let result = if datasync { sys::fdatasync(file) } else { sys::fsync(file) };
    Ok(result?)
}

/// What a write by somebody without `CAP_FSETID` does to set-user-ID and (with group execute) set-group-ID: inode(7).
fn drop_special_bits(path: &str, stat: &Stat) -> io::Result<()> {
    let group = if stat.st_mode & 0o010 != 0 { 0o2000 } else { 0 };
    let kept = stat.st_mode & 0o7777 & !(0o4000 | group);
    if kept != stat.st_mode & 0o7777 {
        sys::chmod(path, Mode::from_raw_mode(kept))?;
    }
    Ok(())
}

/// Answers an xattr request: with the length when the caller asks for it by a size of 0, with the bytes otherwise.
fn sized(reply: ReplyXattr, asked: u32, len: usize, bytes: &[u8]) {
    match (asked, u32::try_from(len)) {
        (0, Ok(len)) => reply.size(len),
        _ => reply.data(&bytes[..len]),
    }
}
