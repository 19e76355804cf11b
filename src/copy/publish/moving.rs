//! The source and target of staged entries, and a rename that replaces nothing.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use crate::copy::io::path::join;
use crate::copy::tree::replaced::Replaced;

/// A directory in staging, and the destination directory for its entries.
pub(crate) struct Moving<'a> {
    /// Relative to the destination.
    pub(crate) path: &'a [u8],
    pub(crate) staged: &'a OwnedFd,
    pub(crate) made: &'a OwnedFd,
    /// What the plan saw in the destination directory.
    pub(crate) replaced: &'a Replaced,
}

impl Moving<'_> {
    pub(crate) fn child(&self, name: &CStr) -> Vec<u8> {
        join(self.path, name.to_bytes())
    }
}

/// Renames to a free name. Network filesystems without `RENAME_NOREPLACE` answer `EINVAL`: there, the name is looked up
/// first.
pub(crate) fn rename_new(
    (dir, from): (&OwnedFd, &CStr),
    (to_dir, to): (&OwnedFd, &CStr),
) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, from, to_dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        done => return done,
    }
    match rustix::fs::statat(to_dir, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => rustix::fs::renameat(dir, from, to_dir, to),
        Ok(_) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}
