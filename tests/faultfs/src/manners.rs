//! The manners of volumes: what the volumes that people have do otherwise than ext4, one switch each. They hold for the whole
//! life of a mount, unlike the faults of the gate. Knows names, owners, attributes and errnos, nothing of requests.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::FileAttr;
use rustix::fs::{self as sys, AtFlags, Stat};

use crate::fault::Op;

/// Whom NFS servers take root for (`anonuid` of exports(5)).
const NOBODY: u32 = 65534;

macro_rules! manners {
    ($($(#[$doc:meta])* $name:ident $word:literal,)*) => {
        /// One way in which a volume differs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Manner { $($(#[$doc])* $name,)* }

        impl Manner {
            /// All of them.
            pub const ALL: &'static [Manner] = &[$(Manner::$name,)*];

            /// The word on the command line.
            pub fn word(self) -> &'static str {
                match self { $(Manner::$name => $word,)* }
            }
        }
    };
}

manners! {
    /// NFS with `root_squash`: root is nobody, and may not change what is not nobody's.
    RootSquash "root-squash",
    /// chown(2) answers EPERM (Azure Files, exFAT).
    OwnerRefused "owner-refused",
    /// chown(2) answers 0 and does nothing.
    OwnerIgnored "owner-ignored",
    /// chmod(2) answers EPERM.
    ModeRefused "mode-refused",
    /// chmod(2) answers 0 and does nothing.
    ModeIgnored "mode-ignored",
    /// utimensat(2) answers EPERM.
    TimesRefused "times-refused",
    /// utimensat(2) answers 0 and does nothing.
    TimesIgnored "times-ignored",
    /// Every mode is 0777 (CIFS with `file_mode`).
    Modes777 "modes-777",
    /// symlink(2) answers EOPNOTSUPP.
    NoSymlinks "no-symlinks",
    /// link(2) answers EPERM, as vfat does.
    NoHardLinks "no-hard-links",
    /// Extended attributes are not supported.
    NoXattrs "no-xattrs",
    /// Times have whole seconds (ext3, HFS+).
    Times1s "times-1s",
    /// Times have even seconds (FAT).
    Times2s "times-2s",
    /// Times have 100 ns (NTFS, SMB).
    Times100ns "times-100ns",
    /// Names are found whatever their case, and keep the one they were made with. A rename to another spelling of itself does
    /// nothing here: the kernel takes the two for hard links of one file (rename(2)) and does not ask.
    NoCase "no-case",
    /// renameat2(2) knows no flags: EINVAL (NFS, CIFS).
    PlainRename "plain-rename",
    /// An open file can be neither renamed nor removed: EBUSY (SMB servers).
    BusyOpen "busy-open",
    /// `.snapshot` is read-only: EROFS (`NetApp`).
    Snapshot "snapshot",
    /// statfs(2) answers zeros.
    StatfsZeros "statfs-zeros",
    /// fsync(2) of a directory answers EINVAL (CIFS).
    FsyncdirInvalid "fsyncdir-invalid",
}

impl FromStr for Manner {
    type Err = String;

    fn from_str(word: &str) -> Result<Manner, String> {
        let found = Manner::ALL.iter().find(|manner| manner.word() == word);
        found.copied().ok_or_else(|| format!("{word} is no manner of volumes"))
    }
}

/// Those of one mount.
#[derive(Clone, Debug, Default)]
pub struct Manners(Vec<Manner>);

impl Manners {
    /// The given ones.
    pub fn new(manners: Vec<Manner>) -> Manners {
        Manners(manners)
    }

    pub(crate) fn has(&self, manner: Manner) -> bool {
        self.0.contains(&manner)
    }

    /// The errno of an operation that this volume does not know or permit.
    pub(crate) fn refusal(&self, op: Op, path: impl Fn() -> Option<PathBuf>) -> Option<i32> {
        let (manner, errno) = match op {
            Op::Chown => (Manner::OwnerRefused, libc::EPERM),
            Op::Chmod => (Manner::ModeRefused, libc::EPERM),
            Op::Utimens => (Manner::TimesRefused, libc::EPERM),
            Op::Symlink => (Manner::NoSymlinks, libc::EOPNOTSUPP),
            Op::Link => (Manner::NoHardLinks, libc::EPERM),
            Op::Setxattr | Op::Getxattr | Op::Listxattr | Op::Removexattr => {
                (Manner::NoXattrs, libc::EOPNOTSUPP)
            }
            Op::Fsyncdir => (Manner::FsyncdirInvalid, libc::EINVAL),
            _ => (Manner::Snapshot, libc::EROFS),
        };
        if manner != Manner::Snapshot && self.has(manner) {
            return Some(errno);
        }
        let below = |path: PathBuf| path.components().any(|part| part.as_os_str() == ".snapshot");
        let read_only = self.has(Manner::Snapshot) && changes(op) && path().is_some_and(below);
        read_only.then_some(libc::EROFS)
    }

    /// EPERM where a squashed root changes the owner, or the mode or times of what is not nobody's.
    pub(crate) fn squashed(&self, op: Op, uid: u32, stat: &Stat) -> io::Result<()> {
        let foreign = op == Op::Chown || stat.st_uid != NOBODY;
        if self.has(Manner::RootSquash) && uid == 0 && op != Op::Truncate && foreign {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        Ok(())
    }

    /// Who owns what this user makes.
    pub(crate) fn owner_of_new(&self, uid: u32, gid: u32) -> (u32, u32) {
        if self.has(Manner::RootSquash) && uid == 0 { (NOBODY, NOBODY) } else { (uid, gid) }
    }

    /// EINVAL for flags that the volume does not know.
    pub(crate) fn rename_flags(&self, flags: u32) -> io::Result<()> {
        if flags != 0 && self.has(Manner::PlainRename) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(())
    }

    /// Attributes as this volume can keep them.
    pub(crate) fn shown(&self, mut attr: FileAttr) -> FileAttr {
        if self.has(Manner::Modes777) {
            attr.perm = 0o777;
        }
        let grains =
            [(Manner::Times1s, 1_000_000_000), (Manner::Times2s, 2_000_000_000), (Manner::Times100ns, 100)];
        for (_, grain) in grains.into_iter().filter(|(manner, _)| self.has(*manner)) {
            attr.mtime = cut(attr.mtime, grain);
            attr.atime = cut(attr.atime, grain);
        }
        attr
    }

    /// The spelling that a name has in this directory.
    pub(crate) fn spelling(&self, parent: impl AsFd, name: &OsStr) -> OsString {
        let other = || {
            let flags = sys::OFlags::RDONLY | sys::OFlags::DIRECTORY | sys::OFlags::CLOEXEC;
            let dir = sys::openat(&parent, ".", flags, sys::Mode::empty()).and_then(sys::Dir::new);
            dir.ok()?
                .flatten()
                .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
                .find(|there| there.as_bytes().eq_ignore_ascii_case(name.as_bytes()))
        };
        if !self.has(Manner::NoCase) || sys::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return name.to_owned();
        }
        other().unwrap_or_else(|| name.to_owned())
    }
}

fn changes(op: Op) -> bool {
    use Op::{Chmod, Chown, Create, Link, Mkdir, Mknod, Removexattr, Rename, Rmdir, Setxattr};
    use Op::{Symlink, Truncate, Unlink, Utimens, Write};
    let all = [
        Chmod,
        Chown,
        Create,
        Link,
        Mkdir,
        Mknod,
        Removexattr,
        Rename,
        Rmdir,
        Setxattr,
        Symlink,
        Truncate,
        Unlink,
        Utimens,
        Write,
    ];
    all.contains(&op)
}

/// A time without what is finer than `grain` nanoseconds.
fn cut(time: SystemTime, grain: u128) -> SystemTime {
    let Ok(since) = time.duration_since(UNIX_EPOCH) else { return time };
    let fine = u64::try_from(since.as_nanos() % grain).unwrap_or(0);
    time - Duration::from_nanos(fine)
}
