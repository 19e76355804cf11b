//! Each manner of volumes, seen as the program under test sees it.

#[path = "../../it/support/needs.rs"]
mod needs;
mod support {
    pub(crate) use crate::needs;
}

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use faultfs::{EBUSY, EINVAL, ENOTSUP, EPERM, EROFS, Manner, Mount};
use rustix::fs::{AtFlags, CWD, RenameFlags, Timespec, Timestamps, XattrFlags};

/// A volume with one manner, and in it the file `file`.
struct Volume {
    mount: Option<Mount>,
    dir: PathBuf,
}

impl Volume {
    fn with(manner: Manner) -> Volume {
        let dir = std::env::temp_dir().join(format!("faultfs-{}-{}", std::process::id(), manner.word()));
        fs::create_dir_all(dir.join("backing/.snapshot/hourly")).expect("made");
        fs::create_dir_all(dir.join("mnt")).expect("made");
        let options = Mount::options().ttl(Duration::ZERO).manner(manner);
        let mount = options.start(&dir.join("backing"), &dir.join("mnt")).expect("the mount");
        let volume = Volume { mount: Some(mount), dir };
        fs::write(volume.at("file"), "content").expect("written");
        volume
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join("mnt").join(name)
    }

    fn file(&self) -> fs::Metadata {
        fs::metadata(self.at("file")).expect("there")
    }

    fn set_mtime(&self, seconds: i64, nanoseconds: i64) -> io::Result<()> {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(CWD, self.at("file"), &times, AtFlags::empty())?)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.mount = None;
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn errno<T>(result: Result<T, impl Into<io::Error>>) -> Option<i32> {
    result.err().and_then(|error| error.into().raw_os_error())
}

#[test]
fn a_squashed_root_is_nobody_and_may_give_nothing_away() {
    needs!(Fuse);
    let volume = Volume::with(Manner::RootSquash);
    assert_eq!(volume.file().uid(), 65534);
    assert_eq!(errno(chown(volume.at("file"), Some(1234), None)), Some(EPERM));
}

#[test]
fn what_is_refused_answers_so() {
    needs!(Fuse);
    let mode = fs::Permissions::from_mode(0o600);
    let volume = Volume::with(Manner::OwnerRefused);
    assert_eq!(errno(chown(volume.at("file"), Some(1234), None)), Some(EPERM));
    let volume = Volume::with(Manner::ModeRefused);
    assert_eq!(errno(fs::set_permissions(volume.at("file"), mode)), Some(EPERM));
    let volume = Volume::with(Manner::TimesRefused);
    assert_eq!(errno(volume.set_mtime(5, 0)), Some(EPERM));
    let volume = Volume::with(Manner::NoSymlinks);
    assert_eq!(errno(symlink("x", volume.at("link"))), Some(ENOTSUP));
    let volume = Volume::with(Manner::NoHardLinks);
    assert_eq!(errno(fs::hard_link(volume.at("file"), volume.at("link"))), Some(EPERM));
    let volume = Volume::with(Manner::NoXattrs);
    let set = rustix::fs::setxattr(volume.at("file"), "user.x", b"y", XattrFlags::empty());
    assert_eq!(errno(set), Some(ENOTSUP));
    let volume = Volume::with(Manner::FsyncdirInvalid);
    assert_eq!(errno(File::open(volume.at("")).and_then(|dir| dir.sync_all())), Some(EINVAL));
}

#[test]
fn what_is_ignored_succeeds_and_changes_nothing() {
    needs!(Fuse);
    let volume = Volume::with(Manner::OwnerIgnored);
    let before = volume.file().uid();
    chown(volume.at("file"), Some(1234), None).expect("answered");
    assert_eq!(volume.file().uid(), before);
    let volume = Volume::with(Manner::ModeIgnored);
    let before = volume.file().mode();
    fs::set_permissions(volume.at("file"), fs::Permissions::from_mode(0o611)).expect("answered");
    assert_eq!(volume.file().mode(), before);
    let volume = Volume::with(Manner::TimesIgnored);
    volume.set_mtime(5, 0).expect("answered");
    assert_ne!(volume.file().mtime(), 5);
}

#[test]
fn modes_and_times_are_as_coarse_as_the_volume() {
    needs!(Fuse);
    assert_eq!(Volume::with(Manner::Modes777).file().mode() & 0o7777, 0o777);
    for (manner, seconds, nanoseconds) in
        [(Manner::Times1s, 5, 0), (Manner::Times2s, 4, 0), (Manner::Times100ns, 5, 123_456_700)]
    {
        let volume = Volume::with(manner);
        volume.set_mtime(5, 123_456_789).expect("set");
        assert_eq!((volume.file().mtime(), volume.file().mtime_nsec()), (seconds, nanoseconds));
    }
}

#[test]
fn names_are_found_in_any_case_and_keep_their_spelling() {
    needs!(Fuse);
    let volume = Volume::with(Manner::NoCase);
    assert_eq!(fs::read_to_string(volume.at("FILE")).expect("found"), "content");
    fs::write(volume.at("File"), "other").expect("written");
    assert_eq!(fs::read_to_string(volume.at("file")).expect("found"), "other");
    fs::rename(volume.at("FILE"), volume.at("To")).expect("renamed");
    assert!(volume.dir.join("backing/To").exists() && !volume.dir.join("backing/file").exists());
}

#[test]
fn renames_know_no_flags_and_spare_open_files() {
    needs!(Fuse);
    let volume = Volume::with(Manner::PlainRename);
    let rename =
        rustix::fs::renameat_with(CWD, volume.at("file"), CWD, volume.at("to"), RenameFlags::NOREPLACE);
    assert_eq!(errno(rename), Some(EINVAL));
    fs::rename(volume.at("file"), volume.at("to")).expect("a plain one");
    let volume = Volume::with(Manner::BusyOpen);
    let _open = File::open(volume.at("file")).expect("opened");
    assert_eq!(errno(fs::rename(volume.at("file"), volume.at("to"))), Some(EBUSY));
    assert_eq!(errno(fs::remove_file(volume.at("file"))), Some(EBUSY));
}

#[test]
fn a_snapshot_is_read_only_and_statfs_may_say_nothing() {
    needs!(Fuse);
    let volume = Volume::with(Manner::Snapshot);
    assert_eq!(errno(fs::write(volume.at(".snapshot/x"), "y")), Some(EROFS));
    assert_eq!(errno(fs::remove_dir(volume.at(".snapshot/hourly"))), Some(EROFS));
    let volume = Volume::with(Manner::StatfsZeros);
    assert_eq!(rustix::fs::statvfs(volume.at("")).expect("asked").f_blocks, 0);
}
