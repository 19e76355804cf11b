//! The power is cut: what a disk held at any moment is mounted again, as after a restart. The disk is a loop device
//! that writes past the page cache into a file, and that file is cloned, which takes no time and sees one moment;
//! the filesystem on it goes on meanwhile and is neither synced nor unmounted.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::needs;
use crate::support::harness::PROGRAM;
use crate::support::tree::{assert_same, copied, copy_command, old_or_new, releases, releases_of, tree};
use crate::support::volumes::{Mount, done};

/// Disks whose state at a moment can be kept.
struct Store {
    store: Mount,
    temp: tempfile::TempDir,
}

/// A filesystem on a disk of the store.
struct Disk {
    image: PathBuf,
    mount: Mount,
    filesystem: &'static str,
}

impl Store {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let image = temp.path().join("store.image");
        std::fs::File::create(&image).unwrap().set_len(3 << 30).unwrap();
        done(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image));
        let store = Mount::new(&temp.path().join("store"), "loop", &image);
        Self { store, temp }
    }

    fn disk(&self, filesystem: &'static str) -> Disk {
        let image = self.store.0.join(filesystem);
        std::fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        done(Command::new(format!("mkfs.{filesystem}")).arg("-q").arg(&image));
        let attached = Command::new("losetup").args(["-f", "--show", "--direct-io=on"]).arg(&image).output();
        let attached = attached.unwrap();
        assert!(attached.status.success(), "{attached:?}");
        let device = String::from_utf8(attached.stdout).unwrap().trim().to_owned();
        // Nothing is written but when asked for, so that what is not synced is lost for sure.
        let options = if filesystem == "ext4" { "commit=300" } else { "defaults" };
        let mount = Mount::new(&self.temp.path().join("disk"), options, Path::new(&device));
        // Goes with the mount from now on.
        done(Command::new("losetup").arg("-d").arg(&device));
        Disk { image, mount, filesystem }
    }
}

impl Disk {
    /// Keeps what the disk holds at this moment.
    fn snapshot(&self, name: &str) -> PathBuf {
        let to = self.image.with_extension(name);
        let clone = std::fs::File::create(&to).unwrap();
        rustix::fs::ioctl_ficlone(clone, std::fs::File::open(&self.image).unwrap()).unwrap();
        to
    }

    /// The disk as it is found after a restart.
    fn restarted(&self, snapshot: &Path) -> Mount {
        let options = if self.filesystem == "xfs" { "loop,nouuid" } else { "loop" };
        Mount::new(&self.mount.0.with_file_name("restarted"), options, snapshot)
    }
}

#[test]
#[ignore = "long: make long-test"]
fn a_power_cut_after_success_loses_nothing() {
    needs!(LoopDevice, Mount, Program("mkfs.xfs"), Program("mkfs.btrfs"));
    for filesystem in ["ext4", "xfs"] {
        let store = Store::new();
        let [source, _] = releases(store.temp.path());
        let disk = store.disk(filesystem);

        // That this method sees a loss: what is copied and not synced is lost.
        done(Command::new("cp").arg("-a").arg(&source).arg(disk.mount.0.join("by-cp")));
        let without = disk.restarted(&disk.snapshot("cp"));
        let there = without.0.join("by-cp");
        let complete = there.exists() && tree(&there, true).0 == tree(&source, true).0;
        assert!(!complete, "{filesystem}: even an unsynced copy is complete: nothing is shown here");
        drop(without);

        copied(&source, &disk.mount.0.join("data"));
        let snapshot = disk.snapshot("copied");
        let after = disk.restarted(&snapshot);
        assert_same(&source, &after.0.join("data"), true);
        done(Command::new(PROGRAM).arg("verify").arg(after.0.join("data")).stdout(Stdio::null()));
        drop(after);

        // A whole run: what its command wrote and the log, too.
        let data = disk.mount.0.join("hook");
        let mut run = Command::new(PROGRAM);
        run.arg("run").arg("--copy").arg(format!("{}:{}", source.display(), data.display()));
        let script = "echo said; cd \"$0\"; sed -i s/first/edited/g d1/sub/f1; echo new > made";
        done(run.args(["--", "sh", "-c", script]).arg(&data).stdout(Stdio::null()).stderr(Stdio::null()));
        let after = disk.restarted(&disk.snapshot("run"));
        let data = after.0.join("hook");
        let log = std::fs::read_to_string(data.join("post-hook-output.txt")).unwrap();
        assert!(log.contains("\nsaid\n") && log.contains("succeeded"), "{filesystem}: {log}");
        assert!(std::fs::read_to_string(data.join("d1/sub/f1")).unwrap().starts_with("edited 1 1"));
        assert_eq!(std::fs::read_to_string(data.join("made")).unwrap(), "new\n");
        done(Command::new(PROGRAM).arg("verify").arg(&data).stdout(Stdio::null()));
        drop(after);

        // Without a log, whose sync comes last: how the command left what was installed is recorded all the same.
        let data = disk.mount.0.join("unlogged");
        let mut run = Command::new(PROGRAM);
        run.args(["run", "--log", "none", "--copy"]).arg(format!("{}:{}", source.display(), data.display()));
        done(run.args(["--", "sh", "-c", script]).arg(&data).stdout(Stdio::null()).stderr(Stdio::null()));
        let after = disk.restarted(&disk.snapshot("unlogged"));
        let data = after.0.join("unlogged");
        assert!(std::fs::read_to_string(data.join("d1/sub/f1")).unwrap().starts_with("edited 1 1"));
        done(Command::new(PROGRAM).arg("verify").arg(&data).stdout(Stdio::null()));
    }
}

/// The sync of the manifest is none of the content there.
#[test]
#[ignore = "long: make long-test"]
fn a_power_cut_after_success_loses_nothing_where_the_state_is_on_another_volume() {
    needs!(LoopDevice, Mount, Program("mkfs.xfs"), Program("mkfs.btrfs"));
    // Few directories are synced one by one, many by one sync of the filesystem.
    for (filesystem, directories) in [("ext4", 2), ("xfs", 2), ("ext4", 20), ("xfs", 20)] {
        let store = Store::new();
        let releases = releases_of(store.temp.path(), directories);
        let disk = store.disk(filesystem);
        let data = disk.mount.0.join("data");
        let state = store.temp.path().join("state");
        for (number, release) in releases.iter().enumerate() {
            let output = copy_command(release, &data).arg("--state").arg(&state).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let after = disk.restarted(&disk.snapshot(&number.to_string()));
            let found = tree(&after.0.join("data"), true).0;
            for (path, entry) in &tree(release, true).0 {
                let when = format!("{filesystem}, {directories} directories, release {number}");
                assert_eq!(found.get(path), Some(entry), "{when}: {}", path.escape_ascii());
            }
        }
    }
}

#[test]
#[ignore = "long: make long-test"]
fn a_power_cut_at_any_moment_leaves_old_or_new_and_the_next_copy_completes() {
    needs!(LoopDevice, Mount, Program("mkfs.xfs"), Program("mkfs.btrfs"));
    let mut in_between = 0;
    // Few directories are synced one by one, here one after the other; many by one sync of the filesystem.
    for (filesystem, directories, workers) in
        [("ext4", 6, "1"), ("xfs", 6, "1"), ("ext4", 60, "16"), ("xfs", 60, "16")]
    {
        let store = Store::new();
        let releases = releases_of(store.temp.path(), directories);
        let disk = store.disk(filesystem);
        let data = disk.mount.0.join("data");
        copied(&releases[0], &data);
        let kept = kept_during(&disk, &data, &releases, workers);
        let trees = releases.each_ref().map(|release| tree(release, true).0);
        for (to, snapshot) in &kept {
            let after = disk.restarted(snapshot);
            let data = after.0.join("data");
            in_between +=
                u32::from(old_or_new(&tree(&data, true).0, &trees, true, &snapshot.display().to_string()));
            let verified = Command::new(PROGRAM).arg("verify").arg(&data).output().unwrap();
            assert_ne!(verified.status.code(), Some(78), "the manifest cannot be read: {verified:?}");
            copied(to, &data);
            let found = tree(&data, true).0;
            for (path, entry) in &tree(to, true).0 {
                let found = found.get(path).map(|found| (found.kind, found.mode, &found.content));
                assert_eq!(found, Some((entry.kind, entry.mode, &entry.content)), "{}", path.escape_ascii());
            }
            assert_eq!(std::fs::read_dir(data.join(".hook-runner/stage")).unwrap().count(), 0, "leftovers");
            done(Command::new(PROGRAM).arg("verify").arg(&data).stdout(Stdio::null()));
            drop(after);
            std::fs::remove_file(snapshot).unwrap();
        }
    }
    assert!(in_between > 0, "no moment was in between the releases: nothing is shown here");
}

/// The parts of a run, told by what its log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Until the header is there: the log of the run before is archived.
    Opening,
    /// Logs of earlier runs are removed, and the steps run.
    Running,
    Sealing,
    /// Right after 0.
    Over,
}

impl Part {
    const ALL: [Self; 4] = [Self::Opening, Self::Running, Self::Sealing, Self::Over];

    fn of(log: &Path, run: &str) -> Self {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        match () {
            () if log.contains(&format!("--- attempt 1 of run {run} ")) => Self::Sealing,
            () if log.contains(&format!("=== hook-runner: attempt 1 of run {run} ")) => Self::Running,
            () => Self::Opening,
        }
    }
}

/// A run of the content in `source` with a command that writes, on a volume.
struct Hook(PathBuf);

impl Hook {
    fn run(&self, run: &str, volume: &Path) -> Command {
        let mut command = Command::new(PROGRAM);
        let copy = format!("{}:{}", self.0.display(), volume.join("data").display());
        command.args(["run", "--run-id", run, "--keep", "2", "--copy", &copy, "--log"]);
        command.arg(volume.join("data/log"));
        command.args(["--", "sh", "-c", "echo said by $1; echo made by $1 >\"$0/made\"; echo last word"]);
        command.arg(volume.join("data")).arg(run).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The disk from the begin of a run to its end, at as many moments as there is time for.
    fn snapshots(&self, disk: &Disk, run: &str) -> Vec<(Part, PathBuf)> {
        let log = disk.mount.0.join("data/log");
        let mut child = self.run(run, &disk.mount.0).spawn().unwrap();
        let mut snapshots = Vec::new();
        loop {
            let part = Part::of(&log, run);
            let ended = child.try_wait().unwrap();
            let part = if ended.is_some() { Part::Over } else { part };
            snapshots.push((part, disk.snapshot(&format!("{run}-{}", snapshots.len()))));
            if let Some(status) = ended {
                assert!(status.success(), "{}: {status:?}", disk.filesystem);
                return snapshots;
            }
        }
    }

    /// The log of the run `last` is there, and the next run works; after 0 everything of `this` is there.
    fn check(&self, disk: &Disk, (part, snapshot): &(Part, PathBuf), [last, this]: [&str; 2]) {
        let after = disk.restarted(snapshot);
        let case = format!("{part:?}, {}", snapshot.display());
        assert_eq!(said(last, &after.0), words(last), "{case}: the log of the run before");
        if *part == Part::Over {
            let made = std::fs::read_to_string(after.0.join("data/made")).unwrap();
            assert_eq!((made, said(this, &after.0)), (format!("made by {this}\n"), words(this)), "{case}");
            let found = tree(&after.0.join("data"), true).0;
            for (path, entry) in &tree(&self.0, true).0 {
                // The command wrote into the destination itself, and the log is there.
                if !path.is_empty() {
                    assert_eq!(found.get(path), Some(entry), "{case}: {}", path.escape_ascii());
                }
            }
        }
        done(&mut self.run("next", &after.0));
        assert_eq!(said("next", &after.0), words("next"), "{case}: the next run");
    }
}

fn words(run: &str) -> String {
    format!("said by {run}\nlast word\n")
}

/// What the command of a run printed, as the log shows it; the runner's own lines stand among it.
fn said(run: &str, volume: &Path) -> String {
    let mut logs = Command::new(PROGRAM);
    let output = logs.args(["logs", "--raw", "--run", run]).arg(volume.join("data/log")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.split_inclusive('\n').filter(|line| !line.starts_with("hook-runner: ")).collect()
}

/// How many cuts of each part of a run on each filesystem.
fn cuts() -> usize {
    std::env::var("POWER_CUTS").map_or(25, |number| number.parse().expect("POWER_CUTS is a number"))
}

/// A run with a copy and a command that writes, cut at any moment of opening, archiving, running, retention and sealing.
#[test]
#[ignore = "long: make long-test"]
fn a_power_cut_at_any_moment_of_a_run_loses_no_log_and_the_next_run_works() {
    needs!(LoopDevice, Mount, Program("mkfs.xfs"), Program("mkfs.btrfs"));
    for filesystem in ["ext4", "xfs", "btrfs"] {
        let store = Store::new();
        let [source, _] = releases(store.temp.path());
        let disk = store.disk(filesystem);
        let hook = Hook(source);
        let mut tried = [0; Part::ALL.len()];
        for number in 0.. {
            if tried.iter().all(|tried| *tried >= cuts()) {
                break;
            }
            assert!(number < 10 * cuts(), "{filesystem}: {tried:?} cuts of {:?}", Part::ALL);
            let (last, this) = (format!("before-{number}"), format!("cut-{number}"));
            done(&mut hook.run(&last, &disk.mount.0));
            let snapshots = hook.snapshots(&disk, &this);
            for (part, tried) in Part::ALL.iter().zip(&mut tried) {
                let of_part: Vec<_> = snapshots.iter().filter(|(of, _)| of == part).collect();
                let wanted = (cuts() - *tried).min(6);
                let step = of_part.len().div_ceil(wanted.max(1)).max(1);
                for snapshot in of_part.iter().rev().step_by(step).take(wanted) {
                    hook.check(&disk, snapshot, [&last, &this]);
                    *tried += 1;
                }
            }
            for (_, snapshot) in &snapshots {
                std::fs::remove_file(snapshot).unwrap();
            }
        }
        println!("{filesystem}: {tried:?} cuts of {:?}", Part::ALL);
    }
}

/// How many moments are looked at: while the copy is at work, and while what it made gets its final names.
const MOMENTS: [usize; 2] = [8, 16];

/// The disk at moments spread over copies from one release to the other and back. Another writer syncs a file of its
/// own all the time, so that the filesystem cannot put everything that a copy does into one transaction.
fn kept_during<'a>(
    disk: &Disk,
    data: &Path,
    releases: &'a [PathBuf; 2],
    workers: &str,
) -> Vec<(&'a PathBuf, PathBuf)> {
    let over = AtomicBool::new(false);
    let mut kept = [Vec::new(), Vec::new()];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = std::fs::File::create(disk.mount.0.join("other")).unwrap();
            while !over.load(Ordering::Relaxed) {
                log.write_all(b"line\n").unwrap();
                log.sync_all().unwrap();
            }
        });
        // The manifest of what is about to be installed.
        let next = data.join(".hook-runner/journal/root.next");
        let mut number = 0;
        // On a busy machine a copy has fewer moments to be looked at.
        for (round, to) in [1, 0].into_iter().cycle().take(10).enumerate() {
            let is_enough = kept.iter().zip(MOMENTS).all(|(kept, moments)| kept.len() >= moments);
            if round >= 2 && is_enough {
                break;
            }
            let to = &releases[to];
            let mut copy = copy_command(to, data);
            copy.args(["--workers", workers]).stdout(Stdio::null()).stderr(Stdio::null());
            let mut copy = copy.spawn().unwrap();
            while copy.try_wait().unwrap().is_none() {
                number += 1;
                kept[usize::from(next.exists())].push((to, disk.snapshot(&number.to_string())));
            }
            assert!(copy.wait().unwrap().success());
        }
        over.store(true, Ordering::Relaxed);
    });
    for (kept, moments) in kept.iter_mut().zip(MOMENTS) {
        let all = kept.len();
        assert!(all >= moments, "only {all} snapshots where {moments} are to be looked at");
        let mut at = 0;
        kept.retain(|_| {
            at += 1;
            at * moments / all != (at - 1) * moments / all
        });
    }
    kept.concat()
}
