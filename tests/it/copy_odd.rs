//! The odd tree: every kind of entry there is, kept entry by entry, by root and by ordinary users.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use hook_runner::beneath::Dir;
use rustix::fs::{Mode, OFlags};

use crate::harness::PROGRAM;
use crate::require_root;
use crate::tree::{assert_same, copied, file, time};

fn odd_tree(root: &Path) {
    let set_time = |name: &str, at| std::fs::File::open(root.join(name)).unwrap().set_modified(at).unwrap();
    for dir in ["a/b/c", "empty", "setgid", "sticky", "read-only", "closed", "many"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    file(root.join("plain"), b"hello", 0o644);
    file(root.join("a/b/c/large"), &b"0123456789".repeat(300_000), 0o640);
    file(root.join("zero"), b"", 0o644);
    for mode in [0, 0o1, 0o400, 0o444, 0o200, 0o755, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777] {
        file(root.join(format!("mode-{mode:o}")), format!("{mode}").as_bytes(), mode);
    }
    for (first, other) in [("plain", "a/second"), ("plain", "a/b/third"), ("a/b/c/large", "large-too")] {
        std::fs::hard_link(root.join(first), root.join(other)).unwrap();
    }
    for (target, name) in [("nowhere", "dangling"), ("/etc", "absolute"), ("a", "to-directory")] {
        symlink(target, root.join(name)).unwrap();
    }
    nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    for (name, size, data) in [("hole", 1u64 << 28, None), ("sparse", 1 << 28, Some(1u64 << 27))] {
        use std::os::unix::fs::FileExt;
        let sparse = std::fs::File::create(root.join(name)).unwrap();
        sparse.set_len(size).unwrap();
        if let Some(at) = data {
            sparse.write_all_at(&vec![7; 4 << 20], at).unwrap();
        }
    }
    let names: [&[u8]; 6] =
        [b"new\nline", b"\xff\xfe", &[b'n'; 255], b"back\\slash and space", b".dot", b"-rf"];
    for name in names {
        file(root.join(OsString::from_vec(name.to_vec())), name, 0o644);
    }
    for n in 0..2000 {
        file(root.join(format!("many/{n}")), b"", 0o644);
    }
    file(root.join("read-only/file"), b"x", 0o444);
    file(root.join("setgid/file"), b"x", 0o644);
    let mut at = Dir::open(root).unwrap();
    for _ in 0..60 {
        let name = "d".repeat(100);
        at.create_dir(&name, 0o755).unwrap();
        at = at.open_dir(&name).unwrap();
    }
    at.create_new("leaf", 0o644).unwrap();
    for (name, mode) in [("setgid", 0o2775), ("sticky", 0o1777), ("read-only", 0o555)] {
        std::fs::set_permissions(root.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    set_time("plain", time(-1, 999_999_999));
    set_time("zero", time(5_000_000_000, 123_456_789));
    set_time("a", time(7, 1));
    set_time("empty", time(8, 2));
}

#[test]
fn the_odd_tree_is_kept_entry_by_entry() {
    let temp = tempfile::tempdir().unwrap();
    let (source, volume) = (temp.path().join("image"), temp.path().join("volume"));
    std::fs::create_dir(&source).unwrap();
    odd_tree(&source);
    if rustix::process::geteuid().is_root() {
        std::fs::set_permissions(source.join("closed"), PermissionsExt::from_mode(0o0)).unwrap();
        std::os::unix::fs::lchown(source.join("dangling"), Some(5), Some(6)).unwrap();
        std::os::unix::fs::chown(source.join("mode-4755"), Some(5), Some(6)).unwrap();
        std::fs::set_permissions(source.join("mode-4755"), PermissionsExt::from_mode(0o4755)).unwrap();
    } else {
        // What its owner may not read, an ordinary user cannot copy.
        for mode in ["0", "1", "200"] {
            std::fs::remove_file(source.join(format!("mode-{mode}"))).unwrap();
        }
    }
    let first = copied(&source, &volume);
    assert!(String::from_utf8_lossy(&first.stderr).contains("fifo"), "{first:?}");
    assert_same(&source, &volume, true);
    let again = copied(&source, &volume);
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("hook-runner: 0 files"), "{again:?}");
    assert_same(&source, &volume, true);
    open_up(&temp);
}

/// So that an ordinary user's temporary directory can be removed.
fn open_up(temp: &tempfile::TempDir) {
    Dir::open(temp.path()).unwrap().remove_all("volume").unwrap();
    Dir::open(temp.path()).unwrap().remove_all("image").unwrap();
}

#[test]
fn an_ordinary_user_copies_what_it_may_and_says_what_it_may_not() {
    require_root!("copying as 65532 and as an arbitrary user with group 0");
    for (uid, gid) in [(65532, 65532), (1_000_650_000, 0)] {
        let temp = tempfile::tempdir().unwrap();
        std::fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let (source, volume) = (temp.path().join("image"), temp.path().join("volume"));
        std::fs::create_dir(&source).unwrap();
        std::fs::create_dir(&volume).unwrap();
        odd_tree(&source);
        for name in
            ["mode-0", "mode-1", "mode-200", "mode-400", "mode-6711", "mode-4755", "mode-2755", "mode-7777"]
        {
            std::fs::remove_file(source.join(name)).unwrap();
        }
        std::fs::set_permissions(source.join("a/b/c/large"), PermissionsExt::from_mode(0o644)).unwrap();
        std::os::unix::fs::chown(&volume, Some(uid), Some(gid)).unwrap();
        let program = temp.path().join("hook-runner");
        std::fs::copy(PROGRAM, &program).unwrap();
        let run = |expected: &str| {
            let mut command = Command::new(&program);
            let output = command
                .arg("copy")
                .arg(&source)
                .arg(&volume)
                .uid(uid)
                .gid(gid)
                .current_dir("/")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{output:?}");
        };
        run("not permitted: owner");
        assert_same(&source, &volume, false);
        run("0 files (0 B) copied");
        std::fs::write(source.join("read-only/second"), "y").unwrap();
        run("1 files (1 B) copied");
        assert_same(&source, &volume, false);
        // What cannot be read is told with its path.
        file(source.join("secret"), b"x", 0);
        let output =
            Command::new(&program).arg("copy").arg(&source).arg(&volume).uid(uid).gid(gid).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("image/secret"), "{output:?}");
    }
}

#[test]
fn many_entries_in_one_directory_and_a_wide_tree_are_copied() {
    let temp = tempfile::tempdir().unwrap();
    let (source, volume) = (temp.path().join("image"), temp.path().join("volume"));
    std::fs::create_dir_all(source.join("flat")).unwrap();
    let flat = Dir::open(source.join("flat")).unwrap();
    for n in 0..20_000 {
        rustix::fs::openat(
            &flat,
            &*n.to_string(),
            OFlags::CREATE | OFlags::WRONLY,
            Mode::from_raw_mode(0o644),
        )
        .unwrap();
    }
    for n in 0..300 {
        std::fs::create_dir_all(source.join(format!("wide/{n}/x/y"))).unwrap();
    }
    copied(&source, &volume);
    assert_eq!(std::fs::read_dir(volume.join("flat")).unwrap().count(), 20_000);
    assert_eq!(
        volume.join("wide/299/x").metadata().unwrap().mtime_nsec(),
        source.join("wide/299/x").metadata().unwrap().mtime_nsec()
    );
    let again = copied(&source, &volume);
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("hook-runner: 0 files"), "{again:?}");
}
