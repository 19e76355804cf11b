//! The mounted filesystem, seen as the program under test sees it.

#[path = "../../it/support/needs.rs"]
mod needs;
mod support {
    pub(crate) use crate::needs;
}

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use faultfs::{EIO, ENOSPC, EROFS, ESTALE, Fault, Mount};
use rustix::fs::{AtFlags, RenameFlags, Timespec, Timestamps, XattrFlags};

/// A backing directory and a mount of it, gone at the end.
struct Room {
    mount: Option<Mount>,
    dir: PathBuf,
}

impl Room {
    fn new(name: &str) -> Room {
        Room::with(name, &Mount::options())
    }

    fn with(name: &str, options: &faultfs::client::Options) -> Room {
        let dir = std::env::temp_dir().join(format!("faultfs-test-{}-{name}", std::process::id()));
        for part in ["backing", "mnt"] {
            fs::create_dir_all(dir.join(part)).expect("a temporary directory");
        }
        let mount = options.start(&dir.join("backing"), &dir.join("mnt")).expect("the mount");
        Room { mount: Some(mount), dir }
    }

    fn mount(&self) -> &Mount {
        self.mount.as_ref().expect("mounted")
    }

    fn mnt(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join("mnt").join(name)
    }

    fn backing(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join("backing").join(name)
    }

    fn wait_for_hanging(&self, count: u64) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.mount().statistics()["hanging"] != count {
            assert!(Instant::now() < end, "never {count} hanging: {:?}", self.mount().statistics());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.mount = None;
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn what_is_written_through_the_mount_is_in_the_backing_directory() {
    needs!(Fuse);
    let room = Room::new("write");
    let content = vec![7; 3 << 20];
    fs::write(room.mnt("file"), &content).expect("written");
    assert!(fs::read(room.backing("file")).expect("read") == content);
    assert!(fs::read(room.mnt("file")).expect("read") == content);
    fs::OpenOptions::new()
        .append(true)
        .open(room.mnt("file"))
        .and_then(|mut file| file.write_all(b"end"))
        .expect("appended");
    assert_eq!(fs::metadata(room.backing("file")).expect("there").len(), (3 << 20) + 3);
    File::options().write(true).open(room.mnt("file")).and_then(|file| file.set_len(5)).expect("cut");
    assert_eq!(fs::metadata(room.mnt("file")).expect("there").len(), 5);
}

#[test]
fn metadata_is_kept_on_both_sides() {
    needs!(Fuse);
    let room = Room::new("metadata");
    let name = OsStr::from_bytes(b"new\nline and \xff byte");
    fs::write(room.mnt(name), "x").expect("written");
    fs::set_permissions(room.mnt(name), fs::Permissions::from_mode(0o6751)).expect("chmod");
    for (seconds, nanoseconds) in [(-86_401, 123_456_789), (-1, 1), (0, 0), (5_000_000_000, 999_999_999)] {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
        };
        rustix::fs::utimensat(rustix::fs::CWD, room.mnt(name), &times, AtFlags::empty()).expect("utimens");
        for path in [room.mnt(name), room.backing(name)] {
            let stat = fs::metadata(path).expect("there");
            assert_eq!((stat.mtime(), stat.mtime_nsec()), (seconds, nanoseconds));
            assert_eq!(stat.mode() & 0o7777, 0o6751);
        }
    }
    rustix::fs::setxattr(room.mnt(name), "user.k", b"v", XattrFlags::empty()).expect("setxattr");
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(room.backing(name), "user.k", &mut value[..]), Ok(1));
    assert_eq!(rustix::fs::listxattr(room.mnt(name), &mut value[..]), Ok(7));
    rustix::fs::removexattr(room.mnt(name), "user.k").expect("removexattr");
    assert_eq!(rustix::fs::listxattr(room.backing(name), &mut value[..]), Ok(0));
}

#[test]
fn links_renames_and_removals_reach_the_backing_directory() {
    needs!(Fuse);
    let room = Room::new("names");
    fs::create_dir(room.mnt("dir")).expect("mkdir");
    fs::write(room.mnt("dir/a"), "a").expect("written");
    fs::hard_link(room.mnt("dir/a"), room.mnt("b")).expect("link");
    symlink("no/where", room.mnt("dangling")).expect("symlink");
    assert_eq!(fs::read_link(room.mnt("dangling")).expect("readlink"), Path::new("no/where"));
    let (a, b) = (fs::metadata(room.mnt("dir/a")), fs::metadata(room.mnt("b")));
    assert_eq!(a.as_ref().expect("there").ino(), b.expect("there").ino());
    assert_eq!(a.expect("there").nlink(), 2);

    fs::write(room.mnt("c"), "c").expect("written");
    let (from, to) = (room.mnt("c"), room.mnt("b"));
    let cwd = rustix::fs::CWD;
    let refused = rustix::fs::renameat_with(cwd, &from, cwd, &to, RenameFlags::NOREPLACE);
    assert_eq!(refused, Err(rustix::io::Errno::EXIST));
    fs::rename(&from, &to).expect("rename");
    assert_eq!(fs::read(room.backing("b")).expect("read"), b"c");

    let mut open = File::open(room.mnt("b")).expect("open");
    fs::remove_file(room.mnt("b")).expect("unlink");
    let mut text = String::new();
    open.read_to_string(&mut text).expect("an open file outlives its name");
    assert_eq!(text, "c");
    fs::remove_file(room.mnt("dir/a")).expect("unlink");
    fs::remove_dir(room.mnt("dir")).expect("rmdir");
    assert!(!room.backing("dir").exists());
}

#[test]
fn a_directory_of_ten_thousand_entries_is_listed_whole() {
    // The daemon holds a handle for each entry that the kernel knows.
    needs!(Fuse, OpenFiles(12_000));
    let room = Room::new("list");
    let names: Vec<String> = (0..10_000).map(|number| format!("a-name-of-some-length-{number:06}")).collect();
    for name in &names {
        File::create(room.backing(name)).expect("created");
    }
    let mut listed: Vec<String> = fs::read_dir(room.mnt(""))
        .expect("opendir")
        .map(|entry| entry.expect("readdir").file_name().into_string().expect("UTF-8"))
        .collect();
    listed.sort();
    assert!(listed == names);
}

#[test]
fn holes_are_reported_and_ranges_copied() {
    needs!(Fuse);
    let room = Room::new("sparse");
    let file =
        File::options().read(true).write(true).create_new(true).open(room.mnt("sparse")).expect("created");
    file.set_len(64 << 20).expect("extended");
    file.write_all_at(b"data", 32 << 20).expect("written");
    let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).expect("SEEK_DATA");
    assert_eq!(data, 32 << 20);
    assert!(fs::metadata(room.mnt("sparse")).expect("there").blocks() < 1024);

    let copy = File::create(room.mnt("copy")).expect("created");
    let mut offset = data;
    let copied = rustix::fs::copy_file_range(&file, Some(&mut offset), &copy, None, 4).expect("copied");
    assert_eq!(copied, 4);
    assert_eq!(fs::read(room.backing("copy")).expect("read"), b"data");
}

#[test]
fn each_operation_fails_with_the_errno_it_is_told_and_works_again_after() {
    needs!(Fuse);
    let room = Room::with("errno", &Mount::options().ttl(Duration::ZERO));
    fs::write(room.mnt("file"), "before").expect("written");
    let mount = room.mount();

    mount.set("write", Fault::Errno(EIO));
    let mut file = File::options().append(true).open(room.mnt("file")).expect("open");
    assert_eq!(errno(file.write_all(b"lost")), Some(EIO));
    mount.set("fsync", Fault::Errno(ENOSPC));
    assert_eq!(errno(file.sync_all()), Some(ENOSPC));
    mount.set("lookup,getattr", Fault::Errno(ESTALE));
    assert_eq!(errno(fs::metadata(room.mnt("file"))), Some(ESTALE));
    mount.clear();

    mount.set("modify", Fault::Errno(EROFS));
    assert_eq!(errno(fs::rename(room.mnt("file"), room.mnt("other"))), Some(EROFS));
    assert_eq!(errno(fs::create_dir(room.mnt("dir"))), Some(EROFS));
    assert_eq!(errno(File::create_new(room.mnt("new"))), Some(EROFS));
    mount.clear();
    assert_eq!(fs::read(room.mnt("file")).expect("read"), b"before");
    fs::rename(room.mnt("file"), room.mnt("other")).expect("rename");
}

#[test]
fn close_reports_what_flush_is_told() {
    needs!(Fuse);
    let room = Room::new("close");
    let file = File::create(room.mnt("file")).expect("created");
    room.mount().set("close", Fault::Errno(EIO));
    // std closes silently; a caller of close(2) sees the error.
    let status = nix_close(file);
    assert_eq!(status, Some(EIO));
}

fn nix_close(file: File) -> Option<i32> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor was owned by `file`, which has given it up.
    (unsafe { libc::close(file.into_raw_fd()) } < 0).then(|| errno::<()>(Err(io::Error::last_os_error())))?
}

#[test]
fn a_volume_that_fills_up_takes_the_bytes_before_the_mark() {
    needs!(Fuse);
    let room = Room::new("full");
    room.mount().set("write", Fault::Errno(ENOSPC).after_bytes(100_000));
    let mut file = File::create(room.mnt("file")).expect("created");
    assert_eq!(errno(file.write_all(&vec![1; 300_000])), Some(ENOSPC));
    assert_eq!(fs::metadata(room.backing("file")).expect("there").len(), 100_000);
}

#[test]
fn sixteen_operations_wait_at_the_same_time() {
    needs!(Fuse);
    let room = Room::new("overlap");
    for number in 0..16 {
        fs::write(room.backing(format!("f{number}")), "x").expect("written");
    }
    room.mount().set("open", Fault::Hang);
    thread::scope(|scope| {
        let openers: Vec<_> = (0..16)
            .map(|n| {
                scope.spawn({
                    let path = room.mnt(format!("f{n}"));
                    move || File::open(path)
                })
            })
            .collect();
        room.wait_for_hanging(16);
        room.mount().clear();
        for opener in openers {
            opener.join().expect("no panic").expect("opened after the fault was lifted");
        }
    });
    room.wait_for_hanging(0);
}

#[test]
fn a_frozen_daemon_answers_nothing_until_it_thaws() {
    needs!(Fuse);
    let room = Room::with("freeze", &Mount::options().ttl(Duration::ZERO));
    fs::write(room.backing("file"), "x").expect("written");
    room.mount().freeze();
    thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(room.mnt("file")));
        thread::sleep(Duration::from_millis(50));
        assert!(!reader.is_finished());
        room.mount().thaw();
        assert_eq!(reader.join().expect("no panic").expect("read"), b"x");
    });
}

#[test]
fn whoever_asks_once_a_daemon_is_frozen_can_be_killed() {
    needs!(Fuse);
    let room = Room::with("killable", &Mount::options().ttl(Duration::ZERO));
    fs::write(room.backing("file"), "x").expect("written");
    for _ in 0..10 {
        // They ask in the moment in which the daemon is frozen.
        let mut callers: Vec<_> = (0..4)
            .map(|_| {
                let mut caller = Command::new("sh");
                caller.args(["-c", "read go; exec cat \"$0\""]).arg(room.mnt("file"));
                caller.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh")
            })
            .collect();
        room.mount().freeze();
        for caller in &mut callers {
            drop(caller.stdin.take().map(|mut stdin| stdin.write_all(b"\n")));
        }
        thread::sleep(Duration::from_millis(20));
        for caller in &mut callers {
            caller.kill().expect("killed");
        }
        let end = Instant::now() + Duration::from_secs(20);
        let gone = |caller: &mut Child| caller.try_wait().expect("waited for").is_some();
        while !callers.iter_mut().all(gone) && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        let left = callers.iter_mut().filter_map(|caller| (!gone(caller)).then_some(caller.id())).count();
        room.mount().thaw();
        for caller in &mut callers {
            caller.wait().expect("waited for");
        }
        assert_eq!(left, 0, "the frozen daemon holds requests");
    }
}

#[test]
fn a_mount_with_open_files_and_a_hanging_operation_still_goes_away() {
    needs!(Fuse);
    let room = Room::new("busy");
    let mut open = File::create(room.mnt("open")).expect("created");
    room.mount().set("write", Fault::Hang);
    let writer = thread::spawn(move || {
        let result = open.write_all(b"late");
        (result, open)
    });
    room.wait_for_hanging(1);
    let mountpoint = room.mnt("");
    let mut room = room;
    let unmounting = room.mount.take();
    thread::scope(|scope| {
        scope.spawn(move || drop(unmounting));
        let (written, open) = writer.join().expect("the write ends");
        written.expect("what hung is carried out");
        drop(open);
    });
    let here = fs::metadata(&mountpoint).expect("there").dev();
    assert_eq!(here, fs::metadata(mountpoint.parent().expect("has one")).expect("there").dev());
}

#[test]
fn a_daemon_that_died_leaves_no_mount_behind() {
    needs!(Fuse);
    let mut room = Room::new("died");
    room.mount.as_mut().expect("mounted").abandon();
    assert_eq!(errno(fs::read_dir(room.mnt(""))), Some(libc::ENOTCONN));
    room.mount = None;
    assert_eq!(fs::read_dir(room.mnt("")).expect("a plain directory").count(), 0);
}

#[test]
fn a_file_made_with_a_mode_has_it_less_the_umask() {
    needs!(Fuse);
    let room = Room::new("mode");
    let file = File::options().write(true).create_new(true).mode(0o640).open(room.mnt("file"));
    drop(file.expect("created"));
    assert_eq!(fs::metadata(room.backing("file")).expect("there").mode() & 0o7777, 0o640);
}
