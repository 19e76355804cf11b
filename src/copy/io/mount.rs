//! Tells mounts below the destination, which no copy changes.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::path::Arg;

/// Whether something is mounted at a name. Linux tells since 5.8.
pub(crate) fn is_mount(dir: impl AsFd, name: impl Arg) -> bool {
    let how = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, how, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}
