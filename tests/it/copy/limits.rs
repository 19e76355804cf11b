//! Volumes that are full, read-only, split in mounts or broken: one clear error, what was there stays, and a retry
//! completes.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use faultfs::{EIO, ENOSPC, ESTALE, Fault};
use nix::libc;

use crate::needs;
use crate::support::cases::one_in;
use crate::support::harness::{PROGRAM, eventually};
use crate::support::tree::{assert_same, copied, copy_command, file, releases, tree};
use crate::support::volumes::{Mount, done, faulty_volume};

#[test]
fn a_full_volume_is_told_before_and_during_and_a_retry_completes() {
    needs!(Mount);
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
            assert!(said.contains(words) && !said.contains("os error") && said.contains("volume"), "{said}");
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

/// Many directories at once want to know whether the copy fits: the one that finds out stops all of them.
#[test]
fn a_copy_that_cannot_fit_ends_before_its_first_byte_in_every_worker() {
    needs!(Mount);
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("image");
    for n in 0..64 {
        std::fs::create_dir_all(source.join(format!("d{n}"))).unwrap();
        file(source.join(format!("d{n}/f")), &vec![b'x'; 100_000], 0o644);
    }
    let volume = temp.path().join("volume");
    let _mount = Mount::tmpfs(&volume, "size=4m");
    for directory in 0..64 {
        std::fs::create_dir_all(volume.join(format!("d{directory}"))).unwrap();
    }
    for attempt in 0..50 / one_in(5) {
        let output = copy_command(&source, &volume).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{said}");
        assert!(said.contains("would be needed") && !said.contains("(after"), "{attempt}: {said}");
    }
}

#[test]
#[ignore = "long: make long-test"]
fn each_filesystem_that_is_full_keeps_what_it_had_and_a_retry_completes() {
    needs!(LoopDevice, Mount, Program("mkfs.xfs"), Program("mkfs.btrfs"));
    let temp = tempfile::tempdir().unwrap();
    let (first, second) = (temp.path().join("first"), temp.path().join("second"));
    for (release, files) in [(&first, 3), (&second, 60)] {
        std::fs::create_dir_all(release.join("sub")).unwrap();
        let name = release.file_name().unwrap().as_encoded_bytes();
        for n in 0..files {
            file(release.join(format!("sub/f{n}")), &name.repeat(200_000), 0o644);
        }
    }
    for filesystem in ["ext4", "xfs", "btrfs"] {
        let mount = Mount::made(filesystem, 400 << 20, "defaults", &temp.path().join(filesystem));
        let volume = mount.0.join("volume");
        copied(&first, &volume);
        // Root may take what the filesystem keeps for it, too: the copy needs more than both.
        let filler = std::fs::File::create(mount.0.join("filler")).unwrap();
        let free = rustix::fs::statvfs(&mount.0).unwrap();
        let most = (free.f_bavail * free.f_frsize).saturating_sub(20 << 20);
        rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, most).unwrap();
        filler.sync_all().unwrap();
        for (extra, words) in [(&[][..], "would be needed"), (&["--ignore-space"], "No space left")] {
            let output = copy_command(&second, &volume).args(extra).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(74), "{filesystem}: {said}");
            assert!(said.contains(words) && said.contains("/volume"), "{filesystem}: {said}");
            assert_same(&first, &volume, true);
            let left = std::fs::read_dir(volume.join(".hook-runner/stage")).unwrap().count();
            assert_eq!(left, 0, "{filesystem}: leftovers");
        }
        drop(filler);
        std::fs::remove_file(mount.0.join("filler")).unwrap();
        copied(&second, &volume);
        assert_same(&second, &volume, true);
        done(Command::new(PROGRAM).arg("verify").arg(&volume).stdout(Stdio::null()));
    }
}

/// By btrfs, whose quota needs nothing of the kernel's configuration.
#[test]
#[ignore = "long: make long-test"]
fn a_quota_that_is_reached_is_told_and_a_retry_with_a_larger_one_completes() {
    needs!(LoopDevice, Mount, OtherUsers, Program("mkfs.btrfs"));
    let temp = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mount = Mount::made("btrfs", 1 << 30, "defaults", &temp.path().join("disk"));
    let btrfs = |arguments: &[&str]| {
        let mut command = Command::new("btrfs");
        done(command.args(arguments).current_dir(&mount.0).stdout(Stdio::null()).stderr(Stdio::null()));
    };
    btrfs(&["subvolume", "create", "volume"]);
    btrfs(&["quota", "enable", "."]);
    btrfs(&["qgroup", "limit", "10M", "volume"]);
    let volume = mount.0.join("volume");
    std::os::unix::fs::chown(&volume, Some(65532), Some(65532)).unwrap();
    let program = temp.path().join("hook-runner");
    std::fs::copy(PROGRAM, &program).unwrap();
    let copy = |source: &Path| {
        let mut command = Command::new(&program);
        command.arg("copy").args([source, &*volume]).uid(65532).gid(65532).current_dir("/");
        command.output().unwrap()
    };
    let (first, second) = (temp.path().join("first"), temp.path().join("second"));
    for (release, files) in [(&first, 3), (&second, 40)] {
        std::fs::create_dir_all(release.join("sub")).unwrap();
        let name = release.file_name().unwrap().as_encoded_bytes();
        for n in 0..files {
            file(release.join(format!("sub/f{n}")), &name.repeat(100_000), 0o644);
        }
    }
    assert!(copy(&first).status.success());
    for _ in 0..2 {
        let output = copy(&second);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{said}");
        assert!(said.to_lowercase().contains("quota") && said.contains("/disk/volume"), "{said}");
        assert!(said.contains("(after "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let after = tree(&volume, false).0;
        assert_eq!(after, tree(&first, false).0, "what was there stays");
        assert_eq!(std::fs::read_dir(volume.join(".hook-runner/stage")).unwrap().count(), 0, "leftovers");
    }
    btrfs(&["qgroup", "limit", "100M", "volume"]);
    let output = copy(&second);
    assert!(output.status.success(), "{output:?}");
    assert_same(&second, &volume, false);
}

#[test]
fn a_mount_inside_the_destination_is_remarked_and_left_alone() {
    needs!(Mount);
    for bound in [false, true] {
        let temp = tempfile::tempdir().unwrap();
        let (source, volume) = (temp.path().join("image"), temp.path().join("volume"));
        let cache = volume.join("cache");
        std::fs::create_dir_all(source.join("cache/deep")).unwrap();
        file(source.join("app"), b"image", 0o644);
        file(source.join("cache/deep/entry"), b"image", 0o644);
        std::fs::create_dir_all(&cache).unwrap();
        let _mount = if bound {
            // Another directory of the same filesystem: as with two subPaths of one claim.
            std::fs::create_dir(temp.path().join("other")).unwrap();
            done(Command::new("mount").arg("--bind").args([&temp.path().join("other"), &cache]));
            Mount(cache.clone())
        } else {
            Mount::tmpfs(&cache, "size=4m")
        };
        file(cache.join("own"), b"of the mount", 0o644);
        let run = |options: &[&str]| {
            let output = copy_command(&source, &volume).args(options).output().unwrap();
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.status.success(), "{said}");
            assert_eq!(std::fs::read_to_string(cache.join("own")).unwrap(), "of the mount", "{said}");
            assert!(!cache.join("deep").exists());
            assert_eq!(std::fs::read_dir(volume.join(".hook-runner/stage")).map_or(0, Iterator::count), 0);
            said
        };
        let remark = "cache is a mount on the volume: not copied";
        for options in [&["--dry-run"][..], &[], &["--policy", "missing"], &["--policy", "keep-modified"]] {
            let said = run(options);
            assert!(said.contains(remark) && !said.contains("create cache"), "{options:?}: {said}");
        }
        assert!(!run(&["--exclude", "/cache"]).contains(remark));
        assert_eq!(std::fs::read_to_string(volume.join("app")).unwrap(), "image");
        done(Command::new(PROGRAM).arg("verify").arg(&volume).stdout(Stdio::null()));
        // A mirror of the image is one of the destination, not of what is mounted there.
        for at in ["cache/deep", "cache"] {
            std::fs::remove_dir_all(source.join(at)).unwrap();
            let said = run(&["--prune", "all"]);
            assert!(said.contains("cache is a mount, or holds one"), "{said}");
        }
        // It can have a copy of its own.
        std::fs::create_dir(source.join("cache")).unwrap();
        file(source.join("cache/entry"), b"image", 0o644);
        copied(&source.join("cache"), &cache);
        assert_eq!(std::fs::read_to_string(cache.join("entry")).unwrap(), "image");
    }
}

#[test]
fn a_state_directory_on_another_mount_of_the_same_volume_serves() {
    needs!(Mount);
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
    let state = temp.path().join("data/.hook-runner");
    let output = copy_command(&source, &temp.path().join("data")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_to_string(temp.path().join("data/file")).unwrap(), "x");
    assert_eq!(std::fs::read_dir(state.join("stage")).unwrap().count(), 0);
    assert!(state.join("manifests/root").exists());
}

#[test]
fn a_volume_that_fails_at_any_operation_is_told_and_keeps_what_it_had() {
    needs!(Fuse);
    let temp = tempfile::tempdir().unwrap();
    let releases = releases(temp.path());
    let faults = faulty_volume(temp.path());
    let old = std::fs::read(releases[0].join("d1/sub/f1")).unwrap();
    // Its name is found in no path but that of content: a rule is compared with the whole path, that of the test included.
    let content = |errno| Fault::Errno(errno).on_path("/f1");
    for (number, (operation, fault, words)) in [
        ("write", content(EIO), "I/O error"),
        ("create", content(ESTALE), "Stale file handle"),
        ("rename", Fault::Errno(EIO).into(), "I/O error"),
        ("fsync", content(EIO), "I/O error"),
        ("write", content(libc::EDQUOT), "Quota exceeded"),
        ("setattr", content(EIO), "I/O error"),
        ("mkdir", Fault::Errno(ENOSPC).into(), "No space left on device"),
        ("lookup", Fault::Errno(ESTALE).into(), "Stale file handle"),
    ]
    .into_iter()
    .enumerate()
    {
        // Each fault has a volume of its own: what an earlier one left complete in staging need not be made again.
        let volume = faults.path().join(number.to_string());
        let said_of = format!("{operation} {fault}");
        copied(&releases[0], &volume);
        faults.set(operation, fault);
        let output = copy_command(&releases[1], &volume).output().unwrap();
        faults.clear();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{said_of}: {said}");
        assert!(
            said.contains(words) && !said.contains("os error") && said.contains("volume"),
            "{said_of}: {said}"
        );
        assert_eq!(std::fs::read(volume.join("d1/sub/f1")).unwrap(), old, "{said_of}");
        copied(&releases[1], &volume);
        assert_eq!(std::fs::read_dir(volume.join(".hook-runner/stage")).unwrap().count(), 0, "{said_of}");
        let found = tree(&volume, true).0;
        for (path, entry) in tree(&releases[1], true).0 {
            assert_eq!(found.get(&path).map(|e| &e.content), Some(&entry.content), "{said_of}");
        }
    }
}

/// A FUSE server is not told of a syncfs(2).
#[test]
fn where_a_sync_of_the_filesystem_says_nothing_each_file_and_directory_is_synced() {
    needs!(Fuse);
    let temp = tempfile::tempdir().unwrap();
    let (source, backing, volume) =
        (temp.path().join("image"), temp.path().join("backing"), temp.path().join("volume"));
    for dir in [&backing, &volume, &source.join("there"), &source.join("new/below")] {
        std::fs::create_dir_all(dir).unwrap();
    }
    let mount = faultfs::Mount::start(&backing, &volume).unwrap();
    std::fs::create_dir(volume.join("there")).unwrap();
    for name in ["there/a", "there/b", "new/c", "new/below/d"] {
        file(source.join(name), b"x", 0o644);
    }
    file(source.join("large"), &vec![b'x'; 1 << 20], 0o644);
    for (synced, names) in [
        ("fsync", &["/a", "/b", "/c", "/d", "/large", "/root"][..]),
        // Staged ones before they get their names, those that got names in them after it.
        ("fsyncdir", &["/new", "/new/below", "/volume-root", "/there"]),
    ] {
        for name in names {
            let part = if *name == "/volume-root" { "/backing" } else { name };
            mount.set(synced, faultfs::Fault::Errno(faultfs::EIO).on_path(part));
            let output = copy_command(&source, &volume).output().unwrap();
            mount.clear();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(74), "{synced} of {name} was not asked for: {said}");
            for entry in ["there/a", "new", "large"] {
                let _ = std::fs::remove_dir_all(volume.join(entry));
                let _ = std::fs::remove_file(volume.join(entry));
            }
        }
    }
    copied(&source, &volume);
    assert_same(&source, &volume, true);
}

/// A kill between the names and the manifest must not make what was just installed look like the user's.
#[test]
fn no_name_is_given_before_it_is_noted_what_is_about_to_be_installed() {
    needs!(Fuse);
    let temp = tempfile::tempdir().unwrap();
    let (source, backing, volume) =
        (temp.path().join("image"), temp.path().join("backing"), temp.path().join("volume"));
    for dir in [&source, &backing, &volume] {
        std::fs::create_dir(dir).unwrap();
    }
    let mount = faultfs::Mount::start(&backing, &volume).unwrap();
    let state = backing.join(".hook-runner");
    for release in ["first", "second"] {
        let before = std::fs::read(backing.join("file")).ok();
        file(source.join("file"), release.as_bytes(), 0o644);
        // Neither the note's content nor its name may be lost.
        for (synced, part) in [("fsync", "/root.next"), ("fsyncdir", "/journal")] {
            mount.set(synced, faultfs::Fault::Errno(faultfs::EIO).on_path(part));
            let output = copy_command(&source, &volume).output().unwrap();
            mount.clear();
            assert_eq!(output.status.code(), Some(74), "{release}, {synced} of {part}: {output:?}");
            assert_eq!(std::fs::read(backing.join("file")).ok(), before, "{release}, {synced} of {part}");
        }
        let _ = std::fs::remove_file(state.join("journal/root.next"));
        // What was staged would be renamed too, to be used again.
        let _ = std::fs::remove_dir_all(state.join("stage"));
        mount.set("rename", faultfs::Fault::Hang.on_path("/file"));
        let mut copy = copy_command(&source, &volume);
        let mut copy = copy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("a name that is about to be given, or the end", || {
            (mount.statistics()["hanging"] > 0 || copy.try_wait().unwrap().is_some()).then_some(())
        });
        let held = std::fs::read(backing.join("file")).ok();
        let noted = std::fs::read(state.join("journal/root.next")).ok();
        mount.clear();
        let status = eventually("the end of the copy", || copy.try_wait().unwrap());
        assert!(status.success(), "{release}: {status}");
        assert_eq!(held, before, "{release}: no rename was held back: nothing is shown");
        assert_eq!(noted, Some(std::fs::read(state.join("manifests/root")).unwrap()), "{release}");
        assert_eq!(std::fs::read_to_string(backing.join("file")).unwrap(), release);
    }
}
