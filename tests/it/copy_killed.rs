//! A copy that is killed: old or new under every name, and the next one completes.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use hook_runner::beneath::Dir;
use rustix::fs::FileType;

use crate::harness::PROGRAM;
use crate::tree::{copied, copy_command, releases, tree};

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
