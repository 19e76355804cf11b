//! The odd tree: every kind of entry there is, kept entry by entry, by root and by ordinary users.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use hook_runner::internals::Dir;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, XattrFlags};

use crate::needs;
use crate::support::harness::PROGRAM;
use crate::support::needs::{Need, has};
use crate::support::tree::{assert_same, copied, copy_command, file, time};
use crate::support::volumes::{Mount, done};

/// The large sparse files have so many bytes, of which at most 4 MiB are data.
fn odd_tree(root: &Path, sparse_size: u64) {
    let set_time = |name: &str, at| std::fs::File::open(root.join(name)).unwrap().set_modified(at).unwrap();
    for dir in
        ["a/b/c", "empty", "setgid", "sticky", "read-only", "closed", "many", "acl", "set", "empty-acl"]
    {
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
    for (name, size, data) in [("hole", sparse_size, None), ("sparse", sparse_size, Some(sparse_size / 2))] {
        use std::os::unix::fs::FileExt;
        let sparse = std::fs::File::create(root.join(name)).unwrap();
        sparse.set_len(size).unwrap();
        if let Some(at) = data {
            sparse.write_all_at(&vec![7; 4 << 20], at).unwrap();
        }
    }
    let names: [&[u8]; 7] =
        [b"new\nline", b"\xff\xfe", &[b'n'; 255], &[0xfe; 255], b"back\\slash and space", b".dot", b"-rf"];
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
    file(root.join("acl/file"), b"x", 0o644);
    file(root.join("many-attributes"), b"x", 0o644);
    for (name, attribute, value) in [
        ("plain", "user.word", &b"value"[..]),
        ("a/b/c/large", "user.large", &[7; 1000]),
        ("hole", "user.on-a-hole", b""),
        ("a/b", "user.of-a-directory", b"\0binary\xff"),
        ("acl/file", "system.posix_acl_access", &acl(0o644, &[(0x02, 5, 1234), (0x08, 6, 4321)])),
        ("acl", "system.posix_acl_access", &acl(0o755, &[(0x02, 7, 1234)])),
        ("acl", "system.posix_acl_default", &acl(0o750, &[(0x08, 7, 4321)])),
        ("empty-acl", "system.posix_acl_default", &acl(0o700, &[])),
    ] {
        set_attribute(&root.join(name), attribute, value);
    }
    for n in 0..40 {
        set_attribute(&root.join("many-attributes"), &format!("user.{}{n}", "long".repeat(10)), b"v");
    }
    for (name, mode) in
        [("setgid", 0o2775), ("sticky", 0o1777), ("set", 0o7777), ("read-only", 0o555), ("mode-4755", 0o4755)]
    {
        std::fs::set_permissions(root.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    set_time("plain", time(-1, 999_999_999));
    set_time("zero", time(5_000_000_000, 123_456_789));
    set_time("a", time(7, 1));
    set_time("empty", time(8, 2));
    set_time("acl", time(-1_000_000_000, 3));
    set_time("many", time(6_000_000_000, 999_999_999));
    for (name, seconds, nanoseconds) in
        [("dangling", -77_777_777, 1), ("absolute", 4_444_444_444, 999_999_999)]
    {
        let at = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: at, last_modification: at };
        rustix::fs::utimensat(rustix::fs::CWD, root.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// An access control list as the kernel keeps it (`acl(5)`, `linux/posix_acl_xattr.h`): version, then entries of tag,
/// permissions and ID, little-endian. `named` are users (tag 2) and groups (tag 8).
fn acl(mode: u16, named: &[(u16, u16, u32)]) -> Vec<u8> {
    let none = u32::MAX;
    let mut entries = vec![(0x01, mode >> 6 & 7, none), (0x04, mode >> 3 & 7, none), (0x20, mode & 7, none)];
    entries.extend_from_slice(named);
    if !named.is_empty() {
        entries.push((0x10, 7, none));
    }
    entries.sort_unstable();
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// The temporary directory has to be on a filesystem with attributes: there is no odd tree without them.
#[track_caller]
fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    let set = rustix::fs::setxattr(path, name, value, XattrFlags::empty());
    set.unwrap_or_else(|errno| panic!("{name} of {}: {errno}", path.display()));
}

/// What only root can make: entries nobody may read, of other owners, with capabilities (capabilities(7): revision 2,
/// effective, and `CAP_NET_BIND_SERVICE` permitted).
fn odd_tree_of_root(root: &Path, sparse_size: u64) {
    odd_tree(root, sparse_size);
    std::fs::set_permissions(root.join("closed"), PermissionsExt::from_mode(0o0)).unwrap();
    for name in ["dangling", "mode-4755", "many", "acl/file"] {
        std::os::unix::fs::lchown(root.join(name), Some(5), Some(6)).unwrap();
    }
    std::fs::set_permissions(root.join("mode-4755"), PermissionsExt::from_mode(0o4755)).unwrap();
    file(root.join("capable"), b"x", 0o755);
    std::os::unix::fs::chown(root.join("capable"), Some(5), Some(6)).unwrap();
    let capability: Vec<u8> =
        [0x0200_0001u32, 1 << 10, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect();
    set_attribute(&root.join("capable"), "security.capability", &capability);
    set_attribute(&root.join("capable"), "trusted.other", b"kept");
}

#[test]
fn the_odd_tree_is_kept_entry_by_entry() {
    let temp = tempfile::tempdir().unwrap();
    let (source, volume) = (temp.path().join("image"), temp.path().join("volume"));
    std::fs::create_dir(&source).unwrap();
    if has(Need::OtherUsers) && has(Need::TrustedAttributes) {
        odd_tree_of_root(&source, 1 << 30);
    } else {
        odd_tree(&source, 1 << 30);
        // What its owner may not read, an ordinary user cannot copy.
        for mode in ["0", "1", "200"] {
            std::fs::remove_file(source.join(format!("mode-{mode}"))).unwrap();
        }
    }
    let first = copied(&source, &volume);
    let said = String::from_utf8_lossy(&first.stderr);
    for name in ["fifo", "socket"] {
        assert!(
            said.contains(&format!("{name} is neither file, directory nor link, and was not copied")),
            "{said}"
        );
        assert!(volume.join(name).symlink_metadata().is_err());
    }
    assert_same(&source, &volume, true);
    let again = copied(&source, &volume);
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("hook-runner: 0 files"), "{again:?}");
    assert_same(&source, &volume, true);
    open_up(&temp);
}

#[test]
#[ignore = "long: make long-test"]
fn the_odd_tree_is_kept_from_the_layers_of_an_image_to_each_filesystem() {
    needs!(LoopDevice, Mount, TrustedAttributes, OtherUsers, Program("mkfs.xfs"), Program("mkfs.btrfs"));
    let temp = tempfile::tempdir().unwrap();
    for layer in ["lower", "upper", "image"] {
        std::fs::create_dir(temp.path().join(layer)).unwrap();
    }
    odd_tree_of_root(&temp.path().join("lower"), 1 << 28);
    std::fs::create_dir_all(temp.path().join("upper/a/b")).unwrap();
    file(temp.path().join("upper/a/b/of-another-layer"), b"y", 0o644);
    let layers = format!("lowerdir={0}/upper:{0}/lower", temp.path().display());
    let source = temp.path().join("image");
    done(Command::new("mount").args(["-t", "overlay", "-o", &layers, "overlay"]).arg(&source));
    let overlay = Mount(source.clone());
    for filesystem in ["ext4", "xfs", "btrfs", "tmpfs"] {
        let at = temp.path().join(filesystem);
        let mount = if filesystem == "tmpfs" {
            Mount::tmpfs(&at, "size=64m")
        } else {
            Mount::made(filesystem, 512 << 20, "defaults", &at)
        };
        copied(&source, &mount.0);
        assert_same(&source, &mount.0, true);
        let again = copied(&source, &mount.0);
        assert!(String::from_utf8_lossy(&again.stdout).starts_with("hook-runner: 0 files"), "{again:?}");
        done(Command::new(PROGRAM).arg("verify").arg(&mount.0).stdout(Stdio::null()));
    }
    drop(overlay);
}

#[test]
fn every_mode_there_is_is_kept() {
    needs!(Mount);
    let temp = tempfile::tempdir().unwrap();
    let mount = Mount::tmpfs(&temp.path().join("tmpfs"), "size=64m");
    let (source, volume) = (mount.0.join("image"), mount.0.join("volume"));
    std::fs::create_dir(&source).unwrap();
    for mode in 0..=0o7777 {
        file(source.join(format!("file-{mode:04o}")), b"", mode);
    }
    for (special, permissions) in (0..8).flat_map(|special| (0..8).map(move |bits| (special, bits))) {
        let mode = special << 9 | permissions << 6 | (7 - permissions) << 3 | permissions;
        let path = source.join(format!("directory-{mode:04o}"));
        std::fs::create_dir(&path).unwrap();
        file(path.join("file"), b"x", 0o644);
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    copied(&source, &volume);
    assert_same(&source, &volume, true);
    let again = copied(&source, &volume);
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("hook-runner: 0 files"), "{again:?}");
    assert_same(&source, &volume, true);
}

#[test]
fn what_a_filesystem_keeps_for_itself_in_attributes_stays_there() {
    needs!(Mount, TrustedAttributes);
    let temp = tempfile::tempdir().unwrap();
    // To others than xfs its attributes are ones like any.
    let mount = Mount::tmpfs(&temp.path().join("tmpfs"), "size=4m");
    let (source, volume) = (mount.0.join("image"), mount.0.join("volume"));
    std::fs::create_dir_all(source.join("directory")).unwrap();
    file(source.join("file"), b"x", 0o644);
    for name in ["file", "directory"] {
        for own in
            ["trusted.overlay.opaque", "trusted.overlay.origin", "trusted.SGI_ACL_FILE", "trusted.kept"]
        {
            set_attribute(&source.join(name), own, b"y");
        }
    }
    copied(&source, &volume);
    for name in ["file", "directory"] {
        let kept = crate::support::tree::attributes(std::fs::File::open(volume.join(name)).unwrap());
        assert_eq!(kept, [("trusted.kept".to_owned(), b"y".to_vec())], "{name}");
    }
}

/// So that an ordinary user's temporary directory can be removed.
fn open_up(temp: &tempfile::TempDir) {
    Dir::open(temp.path()).unwrap().remove_all("volume").unwrap();
    Dir::open(temp.path()).unwrap().remove_all("image").unwrap();
}

#[test]
fn an_ordinary_user_copies_what_it_may_and_says_what_it_may_not() {
    needs!(OtherUsers);
    for (uid, gid) in [(65532, 65532), (1_000_650_000, 0)] {
        let temp = tempfile::tempdir().unwrap();
        std::fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let (source, volume) = (temp.path().join("image"), temp.path().join("volume"));
        std::fs::create_dir(&source).unwrap();
        std::fs::create_dir(&volume).unwrap();
        odd_tree(&source, 1 << 26);
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
        run("1 file (1 B) copied");
        assert_same(&source, &volume, false);
        // It would be this user's in place of the owner's that it was meant for, as with cp(1).
        file(source.join("set-user-id"), b"x", 0o6755);
        run("1 file (1 B) copied");
        assert_eq!(volume.join("set-user-id").metadata().unwrap().permissions().mode() & 0o7777, 0o755);
        std::fs::remove_file(source.join("set-user-id")).unwrap();
        // What cannot be read is told with its path.
        file(source.join("secret"), b"x", 0);
        let output =
            Command::new(&program).arg("copy").arg(&source).arg(&volume).uid(uid).gid(gid).output().unwrap();
        assert_eq!(output.status.code(), Some(74), "something was made by then: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("image/secret"), "{output:?}");
    }
}

/// As the kubelet prepares a volume with an fsGroup: the group's, with the set-group-ID bit.
#[test]
fn on_a_volume_of_a_group_everything_stays_the_groups() {
    needs!(OtherUsers);
    let temp = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (source, volume) = (temp.path().join("image"), temp.path().join("volume"));
    std::fs::create_dir_all(source.join("a/shared")).unwrap();
    std::fs::set_permissions(source.join("a/shared"), PermissionsExt::from_mode(0o777)).unwrap();
    file(source.join("a/file"), b"1", 0o644);
    std::fs::create_dir(&volume).unwrap();
    std::os::unix::fs::chown(&volume, None, Some(2000)).unwrap();
    std::fs::set_permissions(&volume, PermissionsExt::from_mode(0o2775)).unwrap();
    let program = temp.path().join("hook-runner");
    std::fs::copy(PROGRAM, &program).unwrap();
    let run = |arguments: &[&Path]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65532", "--regid", "65532", "--groups", "2000"]).arg(&program);
        let output = command.args(arguments).current_dir("/").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let check = |root: &Path| {
        for (path, mode) in [("", 0o2775), ("a", 0o2755), ("a/shared", 0o2777), ("a/file", 0o644)] {
            let found = root.join(path).metadata().unwrap();
            let found = (found.mode() & 0o7777, found.gid());
            // The copy makes a destination that is not there as the image's.
            let mode = if path.is_empty() && *root != volume { 0o2755 } else { mode };
            assert_eq!(found, (mode, 2000), "{path}");
        }
    };
    for root in [&volume, &volume.join("made/by-the-copy")] {
        let (copy, verify) = (Path::new("copy"), Path::new("verify"));
        for _ in 0..2 {
            run(&[copy, &source, root]);
            check(root);
            run(&[verify, root]);
        }
        let said = run(&[copy, &source, root]);
        assert!(said.starts_with("hook-runner: 0 files (0 B) copied, 1 unchanged"), "{said}");
        file(source.join("a/file"), said.as_bytes(), 0o644);
        run(&[copy, &source, root]);
        check(root);
        file(source.join("a/file"), b"1", 0o644);
    }
}

/// `entries` files in one directory, and a wide tree, below `at`.
fn many_entries(at: &Path, entries: usize) {
    let (source, volume) = (at.join("image"), at.join("volume"));
    std::fs::create_dir_all(source.join("flat")).unwrap();
    let flat = Dir::open(source.join("flat")).unwrap();
    let flags = OFlags::CREATE | OFlags::WRONLY;
    for n in 0..entries {
        rustix::fs::openat(&flat, &*n.to_string(), flags, Mode::from_raw_mode(0o644)).unwrap();
    }
    for n in 0..300 {
        std::fs::create_dir_all(source.join(format!("wide/{n}/x/y"))).unwrap();
    }
    copied(&source, &volume);
    assert_eq!(std::fs::read_dir(volume.join("flat")).unwrap().count(), entries);
    assert_eq!(
        volume.join("wide/299/x").metadata().unwrap().mtime_nsec(),
        source.join("wide/299/x").metadata().unwrap().mtime_nsec()
    );
    let again = copied(&source, &volume);
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("hook-runner: 0 files"), "{again:?}");
    // One of them changes, one goes, one is new.
    std::fs::write(source.join("flat/77"), "changed").unwrap();
    std::fs::rename(source.join("flat/78"), source.join("flat/new")).unwrap();
    let mut command = copy_command(&source, &volume);
    let changed = command.args(["--prune", "owned"]).output().unwrap();
    let said = String::from_utf8_lossy(&changed.stdout).into_owned();
    assert!(said.starts_with("hook-runner: 2 files"), "{changed:?}");
    assert_eq!(std::fs::read_dir(volume.join("flat")).unwrap().count(), entries);
    assert_eq!(std::fs::read_to_string(volume.join("flat/77")).unwrap(), "changed");
    assert!(volume.join("flat/new").exists() && !volume.join("flat/78").exists());
}

#[test]
fn many_entries_in_one_directory_and_a_wide_tree_are_copied() {
    many_entries(tempfile::tempdir().unwrap().path(), 10_000);
}

#[test]
#[ignore = "long: 100,000 entries"]
fn a_hundred_thousand_entries_in_one_directory_are_copied() {
    needs!(LoopDevice, Mount);
    let temp = tempfile::tempdir().unwrap();
    for filesystem in ["tmpfs", "ext4"] {
        let at = temp.path().join(filesystem);
        let mount = if filesystem == "tmpfs" {
            Mount::tmpfs(&at, "size=1g,nr_inodes=1m")
        } else {
            Mount::made(filesystem, 4 << 30, "defaults", &at)
        };
        many_entries(&mount.0, 100_000);
    }
}
