//! Owner, permission bits, extended attributes and times: the image's, changed by the options, as far as this user and
//! this volume permit. What is not permitted is tried once, then skipped, and reported once.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::copy::differs::Differs;
use crate::copy::io::lacks::Lacks;
use crate::copy::io::xattrs::Xattrs;
use crate::copy::manifest::Time;
use crate::copy::options::{ModeChange, Options, Owner};
use crate::support::mutex;

/// The metadata that an entry should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
}

pub(crate) fn time_of(stat: &Stat) -> Time {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

/// Compares the metadata of an entry at two moments.
pub(crate) fn changed_between(before: &Stat, after: &Stat) -> Differs {
    let is_link = FileType::from_raw_mode(after.st_mode) == FileType::Symlink;
    Differs::of([
        (Differs::TIME, time_of(before) != time_of(after)),
        (Differs::MODE, !is_link && before.st_mode != after.st_mode),
        (Differs::OWNER, before.st_uid != after.st_uid),
        (Differs::GROUP, before.st_gid != after.st_gid),
    ])
}

/// The state of an entry before its metadata is set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before<'a> {
    /// This copy made it, with the default owner of new entries; `moded`: and with its final mode.
    Made { moded: bool },
    /// It was on the volume.
    Found(&'a Stat),
}

/// What this user may set on this volume.
#[derive(Debug)]
pub(crate) struct Permissions {
    chown: Option<Owner>,
    chmod: Option<ModeChange>,
    strict: bool,
    pub(crate) umask: u32,
    euid: u32,
    may_chown: AtomicBool,
    /// Groups that this user may not assign.
    foreign: Mutex<BTreeSet<u32>>,
    /// The owner of files that this process creates in staging. Observed and not assumed, because of root squash and
    /// setgid directories.
    own: OnceLock<(u32, u32)>,
    refused: Mutex<Vec<String>>,
    /// What the volume cannot store: from an earlier copy's manifest until this copy has probed it.
    lacks: Mutex<Option<Lacks>>,
}

impl Permissions {
    pub(crate) fn new(options: &Options) -> Self {
        let euid = rustix::process::geteuid().as_raw();
        Self {
            chown: options.chown,
            chmod: options.chmod.clone(),
            strict: options.strict_metadata,
            umask: umask(),
            euid,
            may_chown: AtomicBool::new(holds_chown()),
            foreign: Mutex::default(),
            own: OnceLock::new(),
            refused: Mutex::default(),
            lacks: Mutex::default(),
        }
    }

    /// Records the default owner of new entries.
    pub(crate) fn set_own(&self, stat: &Stat) {
        let _ = self.own.set((stat.st_uid, stat.st_gid));
    }

    /// Records what the volume cannot store.
    pub(crate) fn set_lacks(&self, lacks: Lacks) {
        *mutex::lock(&self.lacks) = Some(lacks);
    }

    /// What the volume cannot store, if known.
    pub(crate) fn lacks(&self) -> Option<Lacks> {
        *mutex::lock(&self.lacks)
    }

    /// Whether mode, owner (if it can be set) or mtime differ from the wanted ones and can be repaired.
    pub(crate) fn differs(&self, stat: &Stat, wanted: &Meta) -> bool {
        !self.differing(stat, wanted).is_empty()
    }

    /// What differs from the wanted metadata and can be set here.
    pub(crate) fn differing(&self, stat: &Stat, wanted: &Meta) -> Differs {
        let lacks = self.lacks().unwrap_or_default();
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        let owners = self.may_chown() && !lacks.owners;
        Differs::of([
            (Differs::TIME, !lacks.is_same_time(time_of(stat), wanted.mtime)),
            (Differs::MODE, !is_link && !lacks.modes && stat.st_mode & 0o7777 != wanted.mode),
            (Differs::OWNER, owners && stat.st_uid != wanted.uid),
            (Differs::GROUP, owners && stat.st_gid != wanted.gid),
        ])
    }

    /// Whether owners can be set; otherwise a different owner cannot be repaired.
    pub(crate) fn may_chown(&self) -> bool {
        self.may_chown.load(Ordering::Relaxed)
    }

    /// What was not permitted, each once.
    pub(crate) fn refused(&self) -> Vec<String> {
        std::mem::take(&mut *mutex::lock(&self.refused))
    }

    /// The metadata that an entry of the image should get. As cp(1) does, a file loses its set-user-ID and set-group-ID
    /// bits if it cannot get the owner that they were meant for.
    pub(crate) fn wanted(&self, stat: &Stat) -> Meta {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut mode = stat.st_mode & 0o7777;
        let (mut uid, mut gid) = (stat.st_uid, stat.st_gid);
        if let Some(owner) = self.chown {
            (uid, gid) = (owner.uid, owner.gid);
        }
        if let (Some(change), true) = (&self.chmod, kind != FileType::Symlink) {
            mode = change.apply(mode, kind == FileType::Directory);
        }
        if kind == FileType::RegularFile && mode & 0o6000 != 0 && uid != self.euid && !self.may_chown() {
            mode &= !0o6000;
        }
        Meta { mode, uid, gid, mtime: time_of(stat) }
    }

    /// The mode to create a file or directory with, and whether it is final.
    pub(crate) fn creation(&self, mode: u32, has_xattrs: bool) -> (u32, bool) {
        if has_xattrs || mode & self.umask != 0 || mode & 0o7000 != 0 {
            ((mode | 0o600) & 0o700, false)
        } else {
            (mode, true)
        }
    }

    /// Sets owner, attributes, mode and times. The order matters: chown(2) clears set-user-ID and capabilities, an ACL
    /// changes the group bits, and anything may change times.
    pub(crate) fn apply(
        &self,
        fd: impl AsFd,
        meta: &Meta,
        xattrs: &Xattrs,
        before: Before<'_>,
    ) -> io::Result<()> {
        let mut mode_final = matches!(before, Before::Made { moded: true });
        let (mut mode, mut chowned) = (meta.mode, false);
        if !self.has_owner(meta, before) {
            chowned = self.set_owner(&fd, meta)?;
            if mode & 0o6000 != 0 {
                mode = safe_mode(&fd, meta)?;
                mode_final = false;
            }
            mode_final &= !chowned || mode & 0o6000 == 0;
        }
        self.set_xattrs(&fd, xattrs)?;
        let is_there = matches!(before, Before::Found(stat) if stat.st_mode & 0o7777 == mode)
            && (!chowned || mode & 0o6000 == 0);
        if !mode_final && (!is_there || !xattrs.is_empty()) {
            self.permit("modes", rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)))?;
        }
        self.set_times(fd, meta.mtime)
    }

    /// Sets the mode if permitted.
    pub(crate) fn set_mode(&self, fd: impl AsFd, mode: u32) -> io::Result<()> {
        self.permit("modes", rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)))
    }

    /// Sets the times if permitted.
    pub(crate) fn set_times(&self, fd: impl AsFd, mtime: Time) -> io::Result<()> {
        self.permit("times", rustix::fs::futimens(fd, &times(mtime)))
    }

    /// Turns a refusal by the system into a remark, or into an error if strict metadata was asked for.
    fn permit(&self, what: &str, done: rustix::io::Result<()>) -> io::Result<()> {
        match done {
            Err(errno) if is_refusal(errno) => self.refuse(what),
            done => Ok(done?),
        }
    }

    fn set_xattrs(&self, fd: impl AsFd, xattrs: &Xattrs) -> io::Result<()> {
        for (name, value) in &xattrs.all {
            self.permitted(rustix::fs::fsetxattr(&fd, name.as_c_str(), value, XattrFlags::empty()), name)?;
        }
        Ok(())
    }

    /// Sets the attributes of an entry that was on the volume. Removes attributes that the image no longer has only if
    /// the entry's attributes are exactly those with the digest `left`: others may be somebody else's.
    pub(crate) fn bring_xattrs(&self, fd: impl AsFd, xattrs: &Xattrs, left: Option<u64>) -> io::Result<()> {
        let mut there = Xattrs::default();
        there.read(&fd)?;
        if left.is_some() && there.digest() == left {
            for (name, _) in there.all.iter().filter(|(name, _)| xattrs.all.iter().all(|(n, _)| n != name)) {
                self.permitted(rustix::fs::fremovexattr(&fd, name.as_c_str()), name)?;
            }
        }
        self.set_xattrs(fd, xattrs)
    }

    /// As [`Permissions::permit`], for setting or removing an attribute.
    fn permitted(&self, done: rustix::io::Result<()>, name: &CStr) -> io::Result<()> {
        match done {
            Ok(()) => Ok(()),
            Err(errno) if is_refusal(errno) => self.refuse(&format!("xattr {}", name.to_string_lossy())),
            Err(errno) => Err(errno.into()),
        }
    }

    fn has_owner(&self, meta: &Meta, before: Before<'_>) -> bool {
        let owner = match before {
            Before::Made { .. } => self.own.get().copied(),
            Before::Found(stat) => Some((stat.st_uid, stat.st_gid)),
        };
        owner == Some((meta.uid, meta.gid))
    }

    /// Sets the owner; returns whether it changed.
    pub(crate) fn set_owner(&self, fd: impl AsFd, meta: &Meta) -> io::Result<bool> {
        let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
        if self.may_chown() || meta.uid == self.euid {
            match rustix::fs::fchown(&fd, Some(uid), Some(gid)) {
                Ok(()) => return Ok(true),
                Err(errno) if is_refusal(errno) => {
                    if meta.uid != self.euid {
                        self.may_chown.store(false, Ordering::Relaxed);
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        self.refuse("owner")?;
        // A user may assign any of their own groups: one refusal says nothing about another group.
        if !mutex::lock(&self.foreign).contains(&meta.gid) {
            match rustix::fs::fchown(&fd, None, Some(gid)) {
                Ok(()) => return Ok(true),
                Err(errno) if is_refusal(errno) => {
                    mutex::lock(&self.foreign).insert(meta.gid);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(false)
    }

    /// As [`Permissions::apply`], for a symbolic link, which has no mode. With an empty `name`, `fd` is a handle of the
    /// link itself (`O_PATH`).
    pub(crate) fn apply_link(
        &self,
        at: impl AsFd,
        name: &CStr,
        meta: &Meta,
        before: Before<'_>,
    ) -> io::Result<()> {
        let which = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::SYMLINK_NOFOLLOW };
        if !self.has_owner(meta, before) && self.may_chown() {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            match rustix::fs::chownat(&at, name, Some(uid), Some(gid), which) {
                Ok(()) => {}
                Err(errno) if is_refusal(errno) => self.refuse("owner")?,
                Err(errno) => return Err(errno.into()),
            }
        }
        match rustix::fs::utimensat(&at, name, &times(meta.mtime), which) {
            // Before Linux 5.8 utimensat(2) takes no handle of a link; the caller then uses the name.
            Err(Errno::INVAL) if name.is_empty() => Err(Errno::INVAL.into()),
            // Some network filesystems store no times for links.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            done => self.permit("times", done),
        }
    }

    pub(crate) fn refuse(&self, what: &str) -> io::Result<()> {
        if self.strict {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{what} cannot be set, and strict metadata was asked for"),
            ));
        }
        let mut refused = mutex::lock(&self.refused);
        if !refused.iter().any(|known| known == what) {
            refused.push(what.to_owned());
        }
        Ok(())
    }
}

/// Sets atime to mtime as well: nobody needs it, and this saves reading the clock.
fn times((seconds, nanoseconds): Time) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Answers of a volume or kernel that does not permit or support something.
fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)
}

/// The mode for an entry that may not get its intended owner. As cp(1) does, a file loses its set-user-ID and
/// set-group-ID bits; on a directory the set-group-ID bit gives no privilege.
fn safe_mode(fd: impl AsFd, meta: &Meta) -> io::Result<u32> {
    let stat = rustix::fs::fstat(fd)?;
    let mut mode = meta.mode;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        if stat.st_uid != meta.uid {
            mode &= !0o6000;
        }
        if stat.st_gid != meta.gid {
            mode &= !0o2000;
        }
    }
    Ok(mode)
}

pub(crate) fn set_times(fd: impl AsFd, mtime: Time) -> io::Result<()> {
    match rustix::fs::futimens(fd, &times(mtime)) {
        Err(errno) if is_refusal(errno) => Ok(()),
        done => Ok(done?),
    }
}

/// As [`set_times`], by name, without following a link.
pub(crate) fn set_times_at(dir: impl AsFd, name: &std::ffi::OsStr, mtime: Time) -> io::Result<()> {
    Ok(rustix::fs::utimensat(dir, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Read from procfs, because umask(2) can only be read by setting it, for all threads. Where procfs does not tell
/// (before Linux 4.7), every bit counts as masked, which costs a chmod per file.
fn umask() -> u32 {
    status_field("Umask:").and_then(|text| u32::from_str_radix(&text, 8).ok()).unwrap_or(0o777)
}

/// `CAP_CHOWN` (bit 0, capabilities(7)) in the effective set.
fn holds_chown() -> bool {
    status_field("CapEff:")
        .and_then(|text| u64::from_str_radix(&text, 16).ok())
        .is_some_and(|set| set & 1 != 0)
}

fn status_field(field: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
}

/// Gives the owner write permission on a directory; returns the earlier mode.
pub(crate) fn open_up(dir: impl AsFd) -> Option<u32> {
    let mode = rustix::fs::fstat(&dir).ok()?.st_mode & 0o7777;
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode | 0o300)).ok()?;
    Some(mode)
}
