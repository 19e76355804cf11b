//! The copy on real filesystems: the odd tree, kills, full and read-only volumes, an ordinary user.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use hook_runner::beneath::Dir;
use rustix::fs::{FileType, Mode, OFlags};

use crate::harness::PROGRAM;
use crate::require_root;

/// What an entry is, as far as a copy has to keep it.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Entry {
    kind: FileType,
    mode: u32,
    owner: Option<(u32, u32)>,
    mtime: (i64, i64),
    content: Vec<u8>,
    sparse: bool,
    attributes: Vec<(String, Vec<u8>)>,
}

/// Groups of names of one file.
type Links = Vec<Vec<Vec<u8>>>;

/// Every entry below a directory by its path, and the groups of names that are one file. Reached name by name, as
/// the odd tree is deeper than a path can be long. FIFOs and sockets, and the runner's own state, are left out.
fn tree(root: &Path, owners: bool) -> (BTreeMap<Vec<u8>, Entry>, Links) {
    let mut entries = BTreeMap::new();
    let mut links: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    let mut todo = vec![(Dir::open(root).unwrap(), Vec::new())];
    while let Some((dir, path)) = todo.pop() {
        for (name, kind) in dir.entries().unwrap() {
            if path.is_empty() && (name == ".hook-runner" || name == "lost+found") {
                continue;
            }
            let stat = dir.stat_at(&name).unwrap();
            let at = if path.is_empty() {
                name.as_bytes().to_vec()
            } else {
                [&path[..], name.as_bytes()].join(&b'/')
            };
            let mut entry = Entry {
                kind,
                mode: stat.st_mode & 0o7777,
                owner: owners.then_some((stat.st_uid, stat.st_gid)),
                mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap()),
                content: Vec::new(),
                sparse: stat.st_size > 1 << 20 && stat.st_blocks * 512 < stat.st_size / 2,
                attributes: Vec::new(),
            };
            match kind {
                FileType::RegularFile => {
                    let mut file = dir.open_read(&name).unwrap();
                    let mut hasher = blake3::Hasher::new();
                    std::io::copy(&mut file, &mut hasher).unwrap();
                    entry.content = hasher.finalize().as_bytes().to_vec();
                    entry.attributes = attributes(&file);
                    if stat.st_nlink > 1 {
                        links.entry(stat.st_ino).or_default().push(at.clone());
                    }
                }
                FileType::Directory => {
                    let child = dir.open_dir(&name).unwrap();
                    entry.attributes = attributes(&child);
                    todo.push((child, at.clone()));
                }
                FileType::Symlink => entry.content = dir.read_link(&name).unwrap().into_vec(),
                _ => continue,
            }
            entries.insert(at, entry);
        }
    }
    let mut links: Vec<_> = links.into_values().collect();
    for names in &mut links {
        names.sort();
    }
    links.sort();
    (entries, links)
}

fn attributes(file: impl AsFd) -> Vec<(String, Vec<u8>)> {
    let mut names = [0; 4096];
    let len = rustix::fs::flistxattr(&file, &mut names[..]).unwrap_or(0);
    let mut all = Vec::new();
    for name in names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8(name.to_vec()).unwrap();
        let mut value = [0; 4096];
        let len = rustix::fs::fgetxattr(&file, &*name, &mut value[..]).unwrap();
        all.push((name, value[..len].to_vec()));
    }
    all.sort();
    all
}

#[track_caller]
fn assert_same(source: &Path, volume: &Path, owners: bool) {
    let (wanted, wanted_links) = tree(source, owners);
    let (found, found_links) = tree(volume, owners);
    for (path, entry) in &wanted {
        let shown = path.escape_ascii().to_string();
        assert_eq!(found.get(path), Some(entry), "{}", &shown[shown.len().saturating_sub(200)..]);
    }
    assert_eq!(found.len(), wanted.len());
    assert_eq!(found_links, wanted_links);
}

fn copy_command(from: &Path, to: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("copy").arg(from).arg(to).stdin(Stdio::null());
    command
}

#[track_caller]
fn copied(from: &Path, to: &Path) -> Output {
    let output = copy_command(from, to).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn file(path: PathBuf, content: &[u8], mode: u32) {
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    start + Duration::from_nanos(nanoseconds.into())
}

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

/// Two releases that differ in many files, in types, and in what there is.
fn releases(at: &Path) -> [PathBuf; 2] {
    ["first", "second"].map(|release| {
        let root = at.join(release);
        for d in 0..20 {
            std::fs::create_dir_all(root.join(format!("d{d}/sub"))).unwrap();
            for f in 0..6 {
                let content = format!("{release} {d} {f} ").repeat(200 * (f + 1));
                file(root.join(format!("d{d}/sub/f{f}")), content.as_bytes(), 0o644);
            }
        }
        file(root.join("large"), &release.as_bytes().repeat(600_000), 0o644);
        std::fs::create_dir_all(root.join(format!("only-{release}/deep/er"))).unwrap();
        file(root.join(format!("only-{release}/deep/er/file")), release.as_bytes(), 0o644);
        root
    })
}

/// Kills copies at points spread over a run, from one release to the other and back.
fn killed_at(points: u32) {
    let temp = tempfile::tempdir().unwrap();
    let releases = releases(temp.path());
    let volume = temp.path().join("volume");
    let trees = [tree(&releases[0], true).0, tree(&releases[1], true).0];
    let start = Instant::now();
    copied(&releases[0], &volume);
    let mut takes = start.elapsed();
    let mut at = 0;
    let mut killed = 0;
    for point in 0..points {
        let to = 1 - at;
        if point % 5 == 4 {
            // A first copy, too.
            std::fs::remove_dir_all(&volume).unwrap();
        }
        let mut child =
            copy_command(&releases[to], &volume).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(takes * (point % 50) / 50);
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        if volume.exists() {
            for (path, entry) in tree(&volume, true).0 {
                if entry.kind == FileType::RegularFile {
                    let whole =
                        trees.iter().any(|tree| tree.get(&path).is_some_and(|e| e.content == entry.content));
                    assert!(whole, "{} is neither old nor new after kill {point}", path.escape_ascii());
                }
            }
        }
        let start = Instant::now();
        copied(&releases[to], &volume);
        takes = start.elapsed().max(takes / 2);
        for (path, entry) in &trees[to] {
            let found =
                Dir::open(&volume).unwrap().stat_at(Path::new(std::ffi::OsStr::from_bytes(path))).unwrap();
            assert_eq!(FileType::from_raw_mode(found.st_mode), entry.kind);
        }
        assert_eq!(std::fs::read_dir(volume.join(".hook-runner/stage")).unwrap().count(), 0, "leftovers");
        let verified = Command::new(PROGRAM).arg("verify").arg(&volume).output().unwrap();
        assert!(verified.status.success(), "{verified:?}");
        at = to;
    }
    assert!(killed > points / 4, "only {killed} of {points} were killed before their end");
}

#[test]
fn a_copy_killed_at_any_moment_leaves_old_or_new_and_the_next_completes() {
    killed_at(30);
}

#[test]
#[ignore = "some minutes: 500 points; part of the root suite"]
fn a_copy_killed_at_500_points_leaves_old_or_new_and_the_next_completes() {
    killed_at(500);
}

/// A tmpfs for the time of a test.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path, options: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "hook-runner-test"]).arg(at).status();
        assert!(done.unwrap().success(), "mount");
        Self(at.to_owned())
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(done.unwrap().success(), "remount");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_volume_is_told_before_and_during_and_a_retry_completes() {
    require_root!("a volume without space, without inodes, read-only");
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("image");
    std::fs::create_dir(&source).unwrap();
    file(source.join("config"), b"old", 0o644);
    for (limit, room) in [("size=1m,nr_inodes=1k", "size=40m"), ("size=40m,nr_inodes=20", "nr_inodes=1k")] {
        let volume = temp.path().join("volume");
        let mount = Mount::tmpfs(&volume, limit);
        copied(&source, &volume);
        let large = temp.path().join("large");
        std::fs::create_dir_all(&large).unwrap();
        file(large.join("config"), b"new", 0o644);
        for n in 0..40 {
            file(large.join(format!("f{n}")), &vec![b'x'; 100_000], 0o644);
        }
        for (extra, words) in [(&[][..], "would be needed"), (&["--ignore-space"], "No space left")] {
            let output = copy_command(&large, &volume).args(extra).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(74), "{said}");
            assert!(said.contains(words) && said.contains("volume"), "{said}");
            assert_eq!(std::fs::read_to_string(volume.join("config")).unwrap(), "old");
            assert!(!volume.join("f0").exists());
            assert_eq!(std::fs::read_dir(volume.join(".hook-runner/stage")).unwrap().count(), 0);
        }
        mount.remount(room);
        copied(&large, &volume);
        assert_same(&large, &volume, true);
        mount.remount("ro");
        std::fs::write(large.join("config"), "newer").unwrap();
        let output = copy_command(&large, &volume).output().unwrap();
        assert_eq!(output.status.code(), Some(74), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).to_lowercase().contains("read-only"), "{output:?}");
        assert_eq!(std::fs::read_to_string(volume.join("config")).unwrap(), "new");
    }
}

#[test]
fn a_state_directory_on_another_mount_of_the_same_volume_serves() {
    require_root!("staging across two mounts of one filesystem, as with two subPaths of one claim");
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("image");
    std::fs::create_dir(&source).unwrap();
    file(source.join("file"), b"x", 0o644);
    let _mount = Mount::tmpfs(&temp.path().join("disk"), "size=4m");
    for name in ["data", "log"] {
        std::fs::create_dir_all(temp.path().join("disk").join(name)).unwrap();
        std::fs::create_dir_all(temp.path().join(name)).unwrap();
    }
    let bind = |name: &str| {
        let to = temp.path().join(name);
        let done =
            Command::new("mount").arg("--bind").arg(temp.path().join("disk").join(name)).arg(&to).status();
        assert!(done.unwrap().success());
        Mount(to)
    };
    let _binds = (bind("data"), bind("log"));
    let state = temp.path().join("log/.hook-runner");
    let output =
        copy_command(&source, &temp.path().join("data")).arg("--state").arg(&state).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_to_string(temp.path().join("data/file")).unwrap(), "x");
    assert_eq!(std::fs::read_dir(state.join("stage")).unwrap().count(), 0);
    assert!(state.join("manifest").exists());
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

/// The FUSE passthrough with faults, mounted for the time of a test.
struct Faults {
    daemon: std::process::Child,
    mount: PathBuf,
    control: PathBuf,
    program: PathBuf,
}

impl Faults {
    fn mount(temp: &Path) -> Self {
        let program = Path::new(PROGRAM).with_file_name("faultfs");
        assert!(program.exists(), "{} is missing: cargo build -p faultfs", program.display());
        let (backing, mount, control) = (temp.join("backing"), temp.join("volume"), temp.join("control"));
        std::fs::create_dir(&backing).unwrap();
        std::fs::create_dir(&mount).unwrap();
        let mut daemon = Command::new(&program)
            .arg("--control")
            .arg(&control)
            .args([&backing, &mount])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let stdout = daemon.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut ready).unwrap();
        assert_eq!(ready.trim(), "ready");
        Self { daemon, mount, control, program }
    }

    fn tell(&self, words: &str) {
        let mut command = Command::new(&self.program);
        let output = command.arg("ctl").arg(&self.control).args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").arg("-uz").arg(&self.mount).status();
        let _ = self.daemon.wait();
    }
}

#[test]
fn a_volume_that_fails_at_any_operation_is_told_and_keeps_what_it_had() {
    require_root!("faults of the volume, by FUSE");
    let temp = tempfile::tempdir().unwrap();
    let releases = releases(temp.path());
    let faults = Faults::mount(temp.path());
    copied(&releases[0], &faults.mount);
    let old = std::fs::read(releases[0].join("d1/sub/f1")).unwrap();
    for (fault, words) in [
        ("write errno EIO path d", "(os error 5)"),
        ("create errno ESTALE path d", "(os error 116)"),
        ("rename errno EIO", "(os error 5)"),
        ("fsync errno EIO path d", "(os error 5)"),
        ("write errno EDQUOT path d", "(os error 122)"),
        ("setattr errno EIO path d", "(os error 5)"),
        ("mkdir errno ENOSPC", "(os error 28)"),
        ("lookup errno ESTALE", "(os error 116)"),
    ] {
        faults.tell(&format!("set {fault}"));
        let output = copy_command(&releases[1], &faults.mount).output().unwrap();
        faults.tell("clear");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{fault}: {said}");
        assert!(said.contains(words) && said.contains("volume"), "{fault}: {said}");
        assert_eq!(std::fs::read(faults.mount.join("d1/sub/f1")).unwrap(), old, "{fault}");
    }
    copied(&releases[1], &faults.mount);
    assert_eq!(std::fs::read_dir(faults.mount.join(".hook-runner/stage")).unwrap().count(), 0);
    let found = tree(&faults.mount, true).0;
    for (path, entry) in tree(&releases[1], true).0 {
        assert_eq!(found.get(&path).map(|e| &e.content), Some(&entry.content));
    }
}
