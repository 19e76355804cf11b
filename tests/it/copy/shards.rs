//! Several copiers of one tree, started by hand: one manifest, and nothing lost, hard links over the borders included.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::needs;
use crate::support::cases::one_in;
use crate::support::harness::{PROGRAM, eventually};
use crate::support::tree::{assert_same, assert_same_entries, copied, copy_command, file, releases};
use crate::support::volumes::{done, faulty_volume};

const SHARDS: u32 = 4;
const DIRECTORIES: u32 = 24;

/// One share of a run.
fn share(run: &str, index: u32, from: &Path, to: &Path) -> Child {
    let mut command = copy_command(from, to);
    command.args(["--shard", &format!("{index}/{SHARDS}"), "--prune", "owned"]);
    command.env("HOOK_RUNNER_RUN_ID", run).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits for shares, all of which have to succeed.
fn succeed(shares: impl IntoIterator<Item = Child>) {
    for share in shares {
        let output = share.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// Runs every share at the same time, as one run.
fn shared(run: &str, from: &Path, to: &Path) {
    let shares: Vec<_> = (0..SHARDS).map(|index| share(run, index, from, to)).collect();
    succeed(shares);
    complete(from, to, 0);
}

/// The volume has the image's content, one manifest beside so many parts of one at most, and nothing else that only a
/// copy at work needs.
fn complete(from: &Path, to: &Path, parts: usize) {
    let names = |directory: &str| -> Vec<String> {
        let entries = std::fs::read_dir(to.join(".hook-runner").join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("manifests"), ["root"]);
    let left: Vec<_> = names("journal").into_iter().filter(|name| name != "root.merge").collect();
    assert!(left.len() <= parts, "{left:?}");
    assert!(left.iter().all(|name| name.contains("-of-") && !name.contains(".n")), "{left:?}");
    assert_eq!(std::fs::read_dir(to.join(".hook-runner/stage")).unwrap().count(), 0, "leftovers");
    done(Command::new(PROGRAM).arg("verify").arg(to).stdout(Stdio::null()));
    assert_same_entries(from, to, true);
}

#[test]
fn shares_of_one_run_make_one_manifest_and_hard_links_between_them_lose_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (source, volume) = (temp.path().join("image"), temp.path().join("volume"));
    for n in 0..DIRECTORIES {
        std::fs::create_dir_all(source.join(format!("d{n}/deep"))).unwrap();
        file(source.join(format!("d{n}/own")), format!("{n}").as_bytes(), 0o640);
        std::os::unix::fs::symlink("own", source.join(format!("d{n}/link"))).unwrap();
    }
    // One file with two names in each directory, and one with a name in a single other directory.
    file(source.join("everywhere"), b"first", 0o644);
    for n in 0..DIRECTORIES {
        for name in ["one", "deep/two", "deep/three"] {
            std::fs::hard_link(source.join("everywhere"), source.join(format!("d{n}/{name}"))).unwrap();
        }
        let other = source.join(format!("d{}/of-another", (n + 1) % DIRECTORIES));
        std::fs::hard_link(source.join(format!("d{n}/own")), other).unwrap();
    }
    shared("first", &source, &volume);
    let inodes = |path: &str| -> BTreeSet<u64> {
        let of = |n| volume.join(format!("d{n}/{path}")).metadata().unwrap().ino();
        (0..DIRECTORIES).map(of).collect()
    };
    // Each share has its own file; names of one share are links of it.
    let all: BTreeSet<u64> = ["one", "deep/two", "deep/three"].into_iter().flat_map(inodes).collect();
    assert!(all.len() <= SHARDS as usize, "{} files for one, with {SHARDS} shares", all.len());
    assert!(all.len() > 1, "all in one share: nothing is shown here");

    // A change of the file is one under each name; what is dropped is removed by the share that has it.
    std::fs::write(source.join("everywhere"), "second release").unwrap();
    std::fs::remove_file(source.join("d3/deep/two")).unwrap();
    std::fs::remove_dir_all(source.join("d5")).unwrap();
    file(source.join("d7/new"), b"new", 0o600);
    shared("second", &source, &volume);
    shared("second-again", &source, &volume);

    // A single copier makes one file of them again, and then has nothing to do.
    copied(&source, &volume);
    assert_same(&source, &volume, true);
    let again = copied(&source, &volume);
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("hook-runner: 0 files"), "{again:?}");
    shared("and-back", &source, &volume);
}

#[test]
fn a_share_that_is_killed_and_started_again_completes_the_copy() {
    let temp = tempfile::tempdir().unwrap();
    let releases = releases(temp.path());
    let volume = temp.path().join("volume");
    let start = Instant::now();
    shared("warm", &releases[0], &volume);
    let takes = start.elapsed();
    let mut killed = 0;
    let mut point = 0;
    // How long a copy takes differs much on a busy machine: as many as it takes to kill some before their end.
    while point < 12 || killed < 3 {
        assert!(point < 60, "only {killed} shares were killed before their end");
        if point % 3 == 2 {
            // A first copy, too.
            std::fs::remove_dir_all(&volume).unwrap();
        }
        let (from, run) = (&releases[point as usize % 2], point.to_string());
        let mut shares: Vec<_> = (0..SHARDS).map(|index| share(&run, index, from, &volume)).collect();
        let victim = point % SHARDS;
        std::thread::sleep(takes * (point % 12) / 12);
        let mut one = shares.swap_remove(victim as usize);
        one.kill().unwrap();
        let was_killed = !one.wait().unwrap().success();
        killed += u32::from(was_killed);
        succeed(shares);
        if was_killed {
            // Killed after the others had put its part together with theirs, it writes that part once more, which says
            // the same and goes with the next run's.
            succeed([share(&run, victim, from, &volume)]);
        }
        complete(from, &volume, usize::from(was_killed));
        point += 1;
    }
    shared("last", &releases[0], &volume);
}

/// What all go through takes the place of a file or a link, and the other way round, while all are at work.
#[test]
fn no_share_fails_where_what_they_share_takes_the_place_of_something_else() {
    let temp = tempfile::tempdir().unwrap();
    let volume = temp.path().join("volume");
    let kinds = ["file", "link", "directory"].map(|kind| {
        let root = temp.path().join(kind);
        std::fs::create_dir_all(root.join("top")).unwrap();
        file(root.join("top/beside"), kind.as_bytes(), 0o644);
        match kind {
            "file" => file(root.join("top/it"), b"a file", 0o644),
            "link" => std::os::unix::fs::symlink("beside", root.join("top/it")).unwrap(),
            _ => {
                for n in 0..60 {
                    let dir = root.join(format!("top/it/inner/d{}", n % 20));
                    std::fs::create_dir_all(&dir).unwrap();
                    file(dir.join(n.to_string()), b"in it", 0o644);
                    file(root.join(format!("top/it/beside-{n}")), b"in it", 0o644);
                }
            }
        }
        root
    });
    for (round, kind) in [0, 2, 1, 2].into_iter().cycle().take(24 / one_in(3)).enumerate() {
        shared(&round.to_string(), &kinds[kind], &volume);
    }
}

/// On a volume where each file is synced by itself, a directory that one copier has as a whole gets its name as soon as it is
/// complete.
#[test]
fn what_has_its_name_before_a_kill_is_not_taken_for_the_users_by_the_next_start() {
    needs!(Fuse);
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("image");
    for n in 0..400 {
        std::fs::create_dir_all(source.join(format!("modules/m{n}/lib"))).unwrap();
        file(source.join(format!("modules/m{n}/lib/file")), format!("{n}").as_bytes(), 0o644);
    }
    file(source.join("stays"), b"stays", 0o644);
    let faults = faulty_volume(temp.path());
    let volume = faults.path();
    let start = || {
        let mut command = copy_command(&source, volume);
        command.args(["--shard", "0/1", "--prune", "owned", "--workers", "2"]);
        command
            .env("HOOK_RUNNER_RUN_ID", "one")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let named = || {
        let modules = std::fs::read_dir(volume.join("modules"));
        modules.map_or(0, |modules| modules.flatten().filter(|m| m.path().join("lib/file").exists()).count())
    };
    // Killed twice, each time when more directories have their names: the second attempt says what the first had in mind.
    let mut before = 0;
    for after in [100, 200] {
        // The note of what gets its name early must not hang with them, and comes before so many of them.
        faults.set("fsync", faultfs::Fault::Hang.after_ops(after).on_path("/lib/file"));
        let mut copier = start();
        let deadline = Instant::now() + Duration::from_secs(60);
        while named() <= before {
            assert!(
                Instant::now() < deadline,
                "no directory had its name before the end: {before} of {}",
                named()
            );
            assert!(copier.try_wait().unwrap().is_none(), "it was to hang");
            std::thread::sleep(Duration::from_millis(10));
        }
        copier.kill().unwrap();
        faults.clear();
        copier.wait().unwrap();
        before = named();
        assert!(before < 400, "it had ended");
    }
    succeed([start()]);
    complete(&source, volume, 0);
    // All of it is the image's, so that it goes with it.
    std::fs::remove_dir_all(source.join("modules")).unwrap();
    succeed([start()]);
    complete(&source, volume, 0);
    assert!(!volume.join("modules").exists());
}

/// As above, but what is about to get its name early cannot be noted: then all get their names in the end, after the note
/// of everything.
#[test]
fn no_directory_has_its_name_before_it_is_noted_that_it_gets_one() {
    needs!(Fuse);
    let temp = tempfile::tempdir().unwrap();
    let [source, backing, volume] = ["image", "backing", "volume"].map(|name| temp.path().join(name));
    for n in 0..40 {
        std::fs::create_dir_all(source.join(format!("pieces/piece{n}"))).unwrap();
        file(source.join(format!("pieces/piece{n}/file")), format!("{n}").as_bytes(), 0o644);
    }
    std::fs::create_dir(&backing).unwrap();
    std::fs::create_dir(&volume).unwrap();
    let mount = faultfs::Mount::start(&backing, &volume).unwrap();
    // A copy in which nothing is noted early meets this fault in the end, and fails.
    mount.set("create", faultfs::Fault::Errno(faultfs::EIO).times(1).on_path(".next"));
    mount.set("rename", faultfs::Fault::Hang.on_path("/piece"));
    let mut command = copy_command(&source, &volume);
    command.args(["--shard", "0/1", "--workers", "2"]).env("HOOK_RUNNER_RUN_ID", "one");
    let mut copy = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let held = eventually("a name that is about to be given, or the end", || {
        let hangs = mount.statistics()["hanging"] > 0;
        (hangs || copy.try_wait().unwrap().is_some()).then_some(hangs)
    });
    let manifests = std::fs::read_dir(backing.join(".hook-runner/journal")).unwrap();
    let noted = manifests
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "next"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .any(|text| text.contains("\n/pieces/piece0\n"));
    mount.clear();
    let status = eventually("the end of the copy", || copy.try_wait().unwrap());
    assert!(held, "no rename was held back: nothing is shown; {status}");
    assert!(noted, "a directory got its name before the note");
    assert!(status.success(), "{status}");
    complete(&source, &volume, 0);
}

#[test]
fn a_share_without_a_run_id_is_refused_and_nothing_is_made() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    std::fs::create_dir(at.join("s")).unwrap();
    file(at.join("s/f"), b"x", 0o644);
    for arguments in
        [&["copy", "s", "d", "--shard", "0/2"][..], &["run", "--copy", "s:d", "--shard", "0/2", "--", "true"]]
    {
        let output = Command::new(PROGRAM).args(arguments).current_dir(at).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(78) && said.contains("HOOK_RUNNER_RUN_ID"), "{output:?}");
        assert!(!at.join("d").exists(), "{arguments:?}");
    }
}

#[test]
fn a_share_that_copied_another_image_than_the_others_fails() {
    let temp = tempfile::tempdir().unwrap();
    let (source, volume) = (temp.path().join("image"), temp.path().join("volume"));
    for n in 0..DIRECTORIES {
        std::fs::create_dir_all(source.join(format!("d{n}"))).unwrap();
        file(source.join(format!("d{n}/f")), b"1", 0o644);
    }
    succeed((1..SHARDS).map(|index| share("run", index, &source, &volume)));
    file(source.join("new"), b"2", 0o644);
    let output = share("run", 0, &source, &volume).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(74) && said.contains("copied another image"), "{output:?}");
    // Started again, each fails until the last of them has copied the same, too.
    for index in 1..SHARDS {
        let status = share("run", index, &source, &volume).wait().unwrap();
        assert_eq!(status.success(), index == SHARDS - 1, "{index}");
    }
    complete(&source, &volume, 0);
}
