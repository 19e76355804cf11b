//! Answers the kernel's requests: what each does is in `passthrough.rs`, what may go wrong with it in the gate and the manners.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{self as sys, AtFlags, Mode, OFlags, XattrFlags};

use crate::backing::{backing_flags, sized, sync};
use crate::fault::Op;
use crate::manners::Manner;
use crate::passthrough::Passthrough;

/// The largest write in one request: what NFS servers commonly offer (`wsize=1048576`).
const MAX_WRITE: u32 = 1 << 20;

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
        let result =
            self.parent(Op::Lookup, parent, name).and_then(|(parent, name)| self.entry(&parent, &name));
        answer!(reply, result, attr => reply.entry(&self.ttl, &attr, Generation(0)));
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.inodes.forget(ino.0, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let result = self.stat(ino, fh);
        answer!(reply, result, stat => reply.attr(&self.ttl, &self.shown(ino, &stat)));
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
        let result = self.parent(Op::Mknod, parent, name).and_then(|(parent, name)| {
            let kind = sys::FileType::from_raw_mode(mode);
            sys::mknodat(&parent, &name, kind, Mode::from_raw_mode(mode & 0o7777), rdev.into())?;
            self.adopt(req, &parent, &name, mode)
        });
        answer!(reply, result, attr => reply.entry(&self.ttl, &attr, Generation(0)));
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        let result = self.parent(Op::Mkdir, parent, name).and_then(|(parent, name)| {
            sys::mkdirat(&parent, &name, Mode::from_raw_mode(mode & 0o7777))?;
            self.adopt(req, &parent, &name, mode)
        });
        answer!(reply, result, attr => reply.entry(&self.ttl, &attr, Generation(0)));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.remove(parent, name);
        answer!(reply, result, () => reply.ok());
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self
            .parent(Op::Rmdir, parent, name)
            .and_then(|(parent, name)| Ok(sys::unlinkat(&parent, &name, AtFlags::REMOVEDIR)?));
        answer!(reply, result, () => reply.ok());
    }

    fn symlink(&self, req: &Request, parent: INodeNo, link_name: &OsStr, target: &Path, reply: ReplyEntry) {
        let result = self.link_to(req, parent, link_name, target);
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
        let result = self.move_to((parent, name), (newparent, newname), flags.bits());
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
        let result = self.open_again(ino, flags.0);
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
        let result = self.parent(Op::Create, parent, name).and_then(|(parent, name)| {
            let flags = backing_flags(flags) | OFlags::CREATE | OFlags::NOFOLLOW;
            let file = sys::openat(&parent, &name, flags, Mode::from_raw_mode(mode & 0o7777))?;
            Ok((self.adopt(req, &parent, &name, mode)?, file))
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
        let killing = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let result = self.put(fh, offset, data, killing);
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
        if self.manners.has(Manner::StatfsZeros) {
            return reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
        }
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
        let result = self.allocate(fh, mode, offset, length);
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
        let result = self.seek(fh, offset, whence);
        answer!(reply, result, offset => reply.offset(offset));
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        _ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let result = self.copy_range((fh_in, offset_in), (fh_out, offset_out), len);
        answer!(reply, result, copied => reply.written(copied));
    }
}
