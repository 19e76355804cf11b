//! Calls on the backing directory that need a word of explanation. Knows nothing of FUSE's requests but the answer of an xattr.

use std::io;
use std::os::fd::OwnedFd;

use fuser::ReplyXattr;
use rustix::fs::{self as sys, Mode, OFlags, Stat};

/// The caller's open(2) flags, less what the kernel has dealt with: `O_DIRECT` would ask alignment of our buffers.
pub(crate) fn backing_flags(flags: i32) -> OFlags {
    (OFlags::from_bits_retain(flags.cast_unsigned()) - (OFlags::DIRECT | OFlags::NOCTTY)) | OFlags::CLOEXEC
}

pub(crate) fn sync(file: &OwnedFd, datasync: bool) -> io::Result<()> {
    let result = if datasync { sys::fdatasync(file) } else { sys::fsync(file) };
    Ok(result?)
}

/// What a write by somebody without `CAP_FSETID` does to set-user-ID and (with group execute) set-group-ID: inode(7).
pub(crate) fn drop_special_bits(path: &str, stat: &Stat) -> io::Result<()> {
    let group = if stat.st_mode & 0o010 != 0 { 0o2000 } else { 0 };
    let kept = stat.st_mode & 0o7777 & !(0o4000 | group);
    if kept != stat.st_mode & 0o7777 {
        sys::chmod(path, Mode::from_raw_mode(kept))?;
    }
    Ok(())
}

/// Answers an xattr request: with the length when the caller asks for it by a size of 0, with the bytes otherwise.
pub(crate) fn sized(reply: ReplyXattr, asked: u32, len: usize, bytes: &[u8]) {
    match (asked, u32::try_from(len)) {
        (0, Ok(len)) => reply.size(len),
        _ => reply.data(&bytes[..len]),
    }
}
