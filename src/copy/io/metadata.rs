//! Owner, permission bits, extended attributes and times: what the image says, changed by the options, as far as
//! this user and this volume permit. What they do not permit is found out by trying, tried no more after that, and
//! reported once.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::copy::io::lacks::Lacks;
use crate::copy::io::xattrs::Xattrs;
use crate::copy::manifest::Time;
use crate::copy::options::{ModeChange, Options, Owner};
use crate::support::mutex;

/// What an entry is to have.
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

/// An entry before its metadata is set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before<'a> {
    /// Made by this copy, so that it has the owner that new entries get; `moded`: and its mode.
    Made { moded: bool },
    /// Found on the volume.
    Found(&'a Stat),
}

/// What may be done here.
#[derive(Debug)]
pub(crate) struct Permissions {
    chown: Option<Owner>,
    chmod: Option<ModeChange>,
    strict: bool,
    pub(crate) umask: u32,
    euid: u32,
    may_chown: AtomicBool,
    /// Groups that this user may not give a file to.
    foreign: Mutex<BTreeSet<u32>>,
    /// Owner of what this process creates in staging: seen, not assumed (root squash, setgid directories).
    own: OnceLock<(u32, u32)>,
    refused: Mutex<Vec<String>>,
    /// What the volume cannot keep: as an earlier copy found out, until this one does.
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

    /// Records the owner that new entries get by themselves.
    pub(crate) fn set_own(&self, stat: &Stat) {
        let _ = self.own.set((stat.st_uid, stat.st_gid));
    }

    /// Records what the volume cannot keep.
    pub(crate) fn set_lacks(&self, lacks: Lacks) {
        *mutex::lock(&self.lacks) = Some(lacks);
    }

    /// What the volume cannot keep, where that is known.
    pub(crate) fn lacks(&self) -> Option<Lacks> {
        *mutex::lock(&self.lacks)
    }

    /// Whether the mode, the owner (where it can be set) or the mtime of what is on the volume is not the wanted one, and could
    /// be.
    pub(crate) fn differs(&self, stat: &Stat, wanted: &Meta) -> bool {
        let lacks = self.lacks().unwrap_or_default();
        let mode = FileType::from_raw_mode(stat.st_mode) != FileType::Symlink
            && stat.st_mode & 0o7777 != wanted.mode;
        let owner = self.may_chown() && (stat.st_uid, stat.st_gid) != (wanted.uid, wanted.gid);
        mode && !lacks.modes || owner && !lacks.owners || !lacks.is_same_time(time_of(stat), wanted.mtime)
    }

    /// Whether owners can be set: only then a difference in them is one that the copy could mend.
    pub(crate) fn may_chown(&self) -> bool {
        self.may_chown.load(Ordering::Relaxed)
    }

    /// What was not permitted, once each.
    pub(crate) fn refused(&self) -> Vec<String> {
        std::mem::take(&mut *mutex::lock(&self.refused))
    }

    /// What an entry of the image is to have on the volume. Set-user-ID and set-group-ID of a file are dropped where
    /// it cannot get the owner that they were meant for, as cp(1) does.
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

    /// The mode to create a file or directory with, and whether that is final.
    pub(crate) fn creation(&self, mode: u32, has_xattrs: bool) -> (u32, bool) {
        if has_xattrs || mode & self.umask != 0 || mode & 0o7000 != 0 {
            ((mode | 0o600) & 0o700, false)
        } else {
            (mode, true)
        }
    }

    /// Sets owner, attributes, mode and times, in the order in which none undoes another: chown(2) clears
    /// set-user-ID and capabilities, an ACL changes the group bits, everything may change times.
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

    /// Sets the mode, where that is permitted.
    pub(crate) fn set_mode(&self, fd: impl AsFd, mode: u32) -> io::Result<()> {
        self.permit("modes", rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)))
    }

    /// Sets the times, where that is permitted.
    pub(crate) fn set_times(&self, fd: impl AsFd, mtime: Time) -> io::Result<()> {
        self.permit("times", rustix::fs::futimens(fd, &times(mtime)))
    }

    /// What came of setting something that this user or this volume may not permit.
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

    /// Sets the attributes of what was found on the volume. Those that the image has no more are removed only where all
    /// that are there are the ones that `left` is the digest of: any other may be somebody else's.
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

    /// What came of setting or removing an attribute.
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

    /// Whether the owner was changed.
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
        // A user may give a file to any group of his, so one that is refused says nothing of the next.
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

    /// As [`Permissions::apply`] for a symbolic link, which has no mode of its own. It is the one of that name in the
    /// directory, or with an empty name the one that the handle is of (`O_PATH`).
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
            // utimensat(2) takes a handle of a link since Linux 5.8: by its name then.
            Err(Errno::INVAL) if name.is_empty() => Err(Errno::INVAL.into()),
            // Some network filesystems have no times of links.
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

/// Access and modification time alike: the access time is of no interest, and this saves asking for the clock.
fn times((seconds, nanoseconds): Time) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// What a volume, or its kernel, answers to what it does not permit or does not have.
fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)
}

/// The mode of an entry whose owner may not be the one that it was meant for: no set-user-ID or set-group-ID bit of a file
/// then, as cp(1) does; a directory's set-group-ID bit gives nobody anything.
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

/// As [`set_times`], by a name that is not followed where it has become a link.
pub(crate) fn set_times_at(dir: impl AsFd, name: &std::ffi::OsStr, mtime: Time) -> io::Result<()> {
    Ok(rustix::fs::utimensat(dir, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// From procfs, as umask(2) can only be read by setting it, for all threads. Where it is not told (before Linux
/// 4.7), every bit is taken for masked, which costs a chmod per file.
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

/// Gives the owner of a directory the permission to change it; answers the mode that it had.
pub(crate) fn open_up(dir: impl AsFd) -> Option<u32> {
    let mode = rustix::fs::fstat(&dir).ok()?.st_mode & 0o7777;
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode | 0o300)).ok()?;
    Some(mode)
}
