//! Tells mounts below the destination, which no copy changes.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::path::Arg;

use crate::copy::io::path::parent;
use crate::support::rooted_dir::Dir;

/// Whether something is mounted at a name. Linux tells since 5.8.
pub(crate) fn is_mount(dir: impl AsFd, name: impl Arg) -> bool {
    let how = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, how, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Whether a directory of the destination, `dir` if it is there, is below a mount, which hides what copies installed.
pub(crate) fn is_hidden(root: &Dir, path: &[u8], dir: Option<&Dir>) -> io::Result<bool> {
    match dir {
        Some(dir) => Ok(!root.is_on_mount_of(dir)?),
        None => Ok(std::iter::successors(parent(path), |path| parent(path))
            .any(|above| !above.is_empty() && is_mount(root, above))),
    }
}
