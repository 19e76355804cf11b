//! A copy that is killed: old or new under every name, and the next one completes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use faultfs::{Fault, Mount};

use crate::needs;
use crate::support::cases::one_in;
use crate::support::harness::{PROGRAM, eventually};
use crate::support::tree::{assert_same, copied, copy_command, old_or_new, releases, tree};
use crate::support::volumes;

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
    killed_at(30 / u32::try_from(one_in(3)).unwrap(), tempfile::tempdir().unwrap().path());
}

#[test]
#[ignore = "long: 500 points take some minutes"]
fn a_copy_killed_at_500_points_leaves_old_or_new_and_the_next_completes() {
    needs!(Mount);
    // A kill loses nothing that the kernel has: no need to wait for a disk.
    let temp = tempfile::tempdir().unwrap();
    let mount = volumes::Mount::tmpfs(&temp.path().join("tmpfs"), "size=256m");
    killed_at(500, &mount.0);
}

/// Kills a copy in its rename number `before`, which the volume (FUSE) holds back and then carries out; copies once more. False
/// when there are not so many.
fn killed_in_rename(before: u64) -> bool {
    let temp = tempfile::tempdir().unwrap();
    let at = |path: &str| temp.path().join(path);
    std::fs::create_dir_all(at("backing")).unwrap();
    std::fs::create_dir_all(at("volume")).unwrap();
    let file = |path: PathBuf, content: &[u8]| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    for name in ["file", "dir/one", "dir/sub/two", "same/link"] {
        file(at("image").join(name), b"first");
    }
    let mount = Mount::options().start(&at("backing"), &at("volume")).unwrap();
    copied(&at("image"), &at("volume/data"));
    file(at("backing/data/way/mine"), b"user's");
    std::fs::remove_file(at("image/file")).unwrap();
    std::fs::remove_dir_all(at("image/dir")).unwrap();
    std::fs::remove_file(at("image/same/link")).unwrap();
    file(at("image/file/inside"), b"second");
    file(at("image/dir"), b"second");
    std::os::unix::fs::symlink("nowhere", at("image/same/link")).unwrap();
    file(at("image/way"), b"second");
    mount.set("rename", Fault::Hang.after_ops(before));
    let mut copy = copy_command(&at("image"), &at("volume/data"));
    copy.args(["--workers", "1"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut copy = copy.spawn().unwrap();
    let hangs = eventually("a rename that waits, or the end", || {
        if mount.statistics()["hanging"] > 0 {
            return Some(true);
        }
        copy.try_wait().unwrap().map(|_| false)
    });
    copy.kill().unwrap();
    mount.clear();
    copy.wait().unwrap();
    copied(&at("image"), &at("volume/data"));
    let mut names: Vec<_> =
        std::fs::read_dir(at("backing/data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [".hook-runner", "dir", "file", "same", "way", "way.from-volume"],
        "killed in rename {before}"
    );
    assert_eq!(std::fs::read(at("backing/data/way.from-volume/mine")).unwrap(), b"user's");
    let verified = Command::new(PROGRAM).arg("verify").arg(at("volume/data")).output().unwrap();
    assert!(verified.status.success(), "killed in rename {before}: {verified:?}");
    let journal = std::fs::read_dir(at("backing/data/.hook-runner/journal")).unwrap().count();
    assert_eq!(journal, 0, "left in the journal after rename {before}");
    hangs
}

#[test]
fn what_makes_way_for_an_entry_of_another_type_is_put_back_or_removed_by_the_copy_after_a_kill() {
    needs!(Fuse);
    let renames = (0..1000).step_by(one_in(3)).find(|before| !killed_in_rename(*before)).unwrap();
    assert!(renames > 8, "only {renames} renames: not those that make way");
}

/// Kills a copy, or a share of one, once it has renamed a directory of its own that makes way for a file, and before that has the
/// name. Answers what strace(1) saw.
fn killed_while_making_way(at: &Path, share: &[&str]) -> String {
    for name in ["s/k", "s/way/f", "s/away/f", "s/out/f"] {
        std::fs::create_dir_all(at.join(name).parent().unwrap()).unwrap();
        std::fs::write(at.join(name), "1").unwrap();
    }
    copied(&at.join("s"), &at.join("d"));
    for name in ["s/way", "s/away", "s/out"] {
        std::fs::remove_dir_all(at.join(name)).unwrap();
        std::fs::write(at.join(name), "2").unwrap();
    }
    let killed = Command::new("strace")
        .args(["-f", "-y", "-o", "calls", "-e", "trace=fsync,renameat,renameat2"])
        .args(["-e", "inject=renameat,renameat2:signal=KILL:when=2", PROGRAM])
        .args(["copy", "s", "d", "--owner", "root", "--workers", "1", "--run-id", "2"])
        .args(share)
        .current_dir(at)
        .output()
        .unwrap();
    assert!(!killed.status.success(), "{killed:?}");
    let names = std::fs::read_dir(at.join("d")).unwrap().map(|entry| entry.unwrap().file_name());
    let beside = names.filter(|name| name.to_string_lossy().ends_with(".from-volume")).count();
    assert_eq!(beside, 1, "killed elsewhere");
    std::fs::read_to_string(at.join("calls")).unwrap()
}

#[test]
fn what_makes_way_is_noted_on_stable_storage_before_it_does() {
    needs!(Program("strace"));
    let temp = tempfile::tempdir().unwrap();
    let calls = killed_while_making_way(temp.path(), &[]);
    let at = |what: &str, path: &str| {
        let is = |call: &str| call.contains(what) && call.contains(path);
        calls.lines().position(is).unwrap_or_else(|| panic!("no {what} {path}: {calls}"))
    };
    let renamed = at("renameat", ".from-volume");
    assert!(at("fsync(", ".moved>") < renamed && at("fsync(", "/journal>") < renamed, "{calls}");
}

#[test]
fn what_a_killed_share_has_renamed_is_put_back_however_the_next_copy_is_shared() {
    needs!(Program("strace"));
    for next in [&["0/2", "1/2"][..], &["1/3", "0/3", "2/3"], &[]] {
        for killed in [&["--shard", "0/2"][..], &["--shard", "1/2"], &[]] {
            let temp = tempfile::tempdir().unwrap();
            let at = temp.path();
            killed_while_making_way(at, killed);
            let copy = |options: &[&str]| {
                let mut command = copy_command(&at.join("s"), &at.join("d"));
                let output = command.args(["--run-id", "3"]).args(options).output().unwrap();
                assert!(output.status.success(), "{killed:?}, {next:?}: {output:?}");
            };
            for share in next {
                copy(&["--shard", share]);
            }
            if next.is_empty() {
                copy(&[]);
            }
            assert_same(&at.join("s"), &at.join("d"), true);
            let state = at.join("d/.hook-runner");
            let left = |directory: &str| {
                let entries = std::fs::read_dir(state.join(directory)).unwrap();
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
            };
            let noted = left("journal").into_iter().filter(|name| name.ends_with(".moved")).count();
            let staged = if next.is_empty() { left("stage") } else { Vec::new() };
            assert!(
                noted == 0 && staged.is_empty(),
                "{killed:?}, {next:?}: {:?} {staged:?}",
                left("journal")
            );
        }
    }
}
