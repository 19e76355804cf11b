//! A copy that is killed: old or new under every name, and the next one completes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::needs;
use crate::support::harness::PROGRAM;
use crate::support::tree::{copied, copy_command, old_or_new, releases, tree};
use crate::support::volumes::Mount;

/// Kills copies at points spread over a run, from one release to the other and back.
fn killed_at(points: u32, temp: &Path) {
    let releases = releases(temp);
    let volume = temp.join("volume");
    let trees = [tree(&releases[0], true).0, tree(&releases[1], true).0];
    let start = Instant::now();
    copied(&releases[0], &volume);
    let mut takes = start.elapsed();
    let mut at = 0;
    let (mut killed, mut both) = (0, 0);
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
            let first = point % 5 == 4;
            both += u32::from(old_or_new(&tree(&volume, true).0, &trees, !first, &format!("kill {point}")));
        }
        let start = Instant::now();
        copied(&releases[to], &volume);
        takes = start.elapsed().max(takes / 2);
        let found = tree(&volume, true).0;
        for (path, entry) in &trees[to] {
            let found = found.get(path).map(|found| (found.kind, found.mode, &found.content));
            assert_eq!(found, Some((entry.kind, entry.mode, &entry.content)), "{}", path.escape_ascii());
        }
        let manifests: Vec<_> = std::fs::read_dir(volume.join(".hook-runner/manifests"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(manifests, ["root"], "leftovers");
        assert_eq!(std::fs::read_dir(volume.join(".hook-runner/stage")).unwrap().count(), 0, "leftovers");
        let verified = Command::new(PROGRAM).arg("verify").arg(&volume).output().unwrap();
        assert!(verified.status.success(), "{verified:?}");
        at = to;
    }
    assert!(killed > points / 4, "only {killed} of {points} were killed before their end");
    assert!(both > 0 || points < 100, "no kill left something of both releases: nothing is shown here");
}

#[test]
fn a_copy_killed_at_any_moment_leaves_old_or_new_and_the_next_completes() {
    killed_at(30, tempfile::tempdir().unwrap().path());
}

#[test]
#[ignore = "long: 500 points take some minutes"]
fn a_copy_killed_at_500_points_leaves_old_or_new_and_the_next_completes() {
    needs!(Mount);
    // A kill loses nothing that the kernel has: no need to wait for a disk.
    let temp = tempfile::tempdir().unwrap();
    let mount = Mount::tmpfs(&temp.path().join("tmpfs"), "size=256m");
    killed_at(500, &mount.0);
}
