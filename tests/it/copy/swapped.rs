//! Another writer gives a name to a link in the very moment in which the copy looks it up: each look-up in turn is held
//! back by the volume (FUSE) until that is done. Nothing outside the destination is read, written, chmod-ed or removed.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use faultfs::{Fault, Mount};

use crate::needs;
use crate::support::cases::one_in;
use crate::support::harness::eventually;
use crate::support::tree::{copied, copy_command, file};

/// A directory of a volume that was filled by a release before, an image with the next, and what is beside the directory
/// on the same volume, so that no limit of a mount protects it.
struct Room {
    mount: Mount,
    home: tempfile::TempDir,
}

/// The name that is swapped, what it is swapped for, and where it is: on the volume or in staging.
type Case = (&'static str, &'static str, &'static str);

const CASES: [Case; 8] = [
    ("kept-dir", "dir", "volume"),
    ("gone-dir", "dir", "volume"),
    ("gone-file", "twin", "volume"),
    ("same", "twin", "volume"),
    ("changed", "twin", "volume"),
    ("new-dir", "dir", "staging"),
    ("new-file", "secret", "staging"),
    ("changed", "secret", "staging"),
];

impl Room {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        for dir in ["backing/outside/dir", "volume", "image/kept-dir", "image/gone-dir"] {
            std::fs::create_dir_all(at(dir)).unwrap();
        }
        for name in ["kept-dir/inside", "gone-dir/inside", "gone-file", "same", "changed"] {
            file(at("image").join(name), b"twin", 0o644);
        }
        let mount = Mount::options().ttl(Duration::ZERO).start(&at("backing"), &at("volume")).unwrap();
        copied(&at("image"), &at("volume/data"));
        std::fs::remove_dir_all(at("image/gone-dir")).unwrap();
        std::fs::remove_file(at("image/gone-file")).unwrap();
        std::fs::create_dir(at("image/new-dir")).unwrap();
        for (name, content) in
            [("kept-dir/inside", "new"), ("new-dir/other", "new"), ("new-file", "new"), ("changed", "next")]
        {
            file(at("image").join(name), content.as_bytes(), 0o644);
        }
        // Of the same content, so that only its mode is to be set.
        std::fs::set_permissions(at("image/same"), PermissionsExt::from_mode(0o755)).unwrap();
        for (name, content) in [("twin", "twin"), ("secret", "secret"), ("dir/inside", "twin")] {
            file(at("backing/outside").join(name), content.as_bytes(), 0o600);
        }
        for entry in ["dir", "twin", "secret", "dir/inside"] {
            forget_reads(&at("backing/outside").join(entry));
        }
        Self { mount, home }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Where another writer finds the name now, or would have to put something so that the copy finds it.
    fn places(&self, name: &str, side: &str) -> Vec<PathBuf> {
        if side == "volume" {
            return vec![self.at("backing/data").join(name)];
        }
        let below = |dir: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let runs = below(&self.at("backing/data/.hook-runner/stage"));
        runs.iter().flat_map(|run| below(run)).map(|numbered| numbered.join(name)).collect()
    }

    fn swap(&self, name: &str, side: &str, target: &str) {
        for (n, place) in self.places(name, side).into_iter().enumerate() {
            // Not there yet is as good: then it is planted.
            let _ = std::fs::rename(&place, self.at(&format!("aside-{n}")));
            let _ = symlink(self.at("volume/outside").join(target), &place);
        }
    }
}

/// Sets an access time that any read would change (mount(8), `relatime`).
fn forget_reads(path: &Path) {
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let times = std::fs::FileTimes::new().set_accessed(old);
    std::fs::File::open(path).unwrap().set_times(times).unwrap();
}

/// What a write, a chmod, a removal, another name or a read would change.
fn seen(outside: &Path) -> BTreeMap<PathBuf, [i64; 4]> {
    ["", "dir", "twin", "secret", "dir/inside"]
        .map(|name| outside.join(name))
        .into_iter()
        .map(|path| {
            let stat = path.symlink_metadata().unwrap();
            // Listing it is how this test itself gets there.
            let read = if path == *outside { 0 } else { stat.atime() };
            (path, [stat.ctime(), stat.ctime_nsec(), i64::from(stat.mode()), read])
        })
        .collect()
}

/// Copies while the look-up of `name` that comes after `before` others waits for the swap. False when there was none.
fn swapped(case: Case, before: u64) -> bool {
    let (name, target, side) = case;
    let room = Room::new();
    let outside = seen(&room.at("backing/outside"));
    let part = if side == "volume" { format!("backing/data/{name}") } else { format!("/{name}") };
    room.mount.set("lookup", Fault::Hang.after_ops(before).on_path(&part));
    let mut copy = copy_command(&room.at("image"), &room.at("volume/data"));
    copy.args(["--workers", "1", "--prune", "all"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut copy = copy.spawn().unwrap();
    let hangs = eventually("a look-up that waits, or the end", || {
        if room.mount.statistics()["hanging"] > 0 {
            return Some(true);
        }
        copy.try_wait().unwrap().map(|_| false)
    });
    if hangs {
        room.swap(name, side, target);
    }
    room.mount.clear();
    eventually("the end of the copy", || copy.try_wait().unwrap());
    assert_eq!(seen(&room.at("backing/outside")), outside, "{name} in {side} swapped at look-up {before}");
    hangs
}

#[test]
fn a_name_that_becomes_a_link_at_any_look_up_leads_nowhere() {
    needs!(Fuse);
    let room = Room::new();
    let outside = seen(&room.at("backing/outside"));
    std::fs::read(room.at("backing/outside/twin")).unwrap();
    assert_ne!(
        seen(&room.at("backing/outside")),
        outside,
        "a read cannot be seen here (noatime?): nothing is shown"
    );
    std::thread::scope(|scope| {
        let cases = CASES.map(|case| {
            scope.spawn(move || (0..1000).step_by(one_in(4)).find(|before| !swapped(case, *before)))
        });
        for (case, done) in CASES.iter().zip(cases) {
            let moments = done.join().unwrap().unwrap();
            assert!(moments > 0, "{case:?}: never looked up");
        }
    });
}

/// Copies a release with another name of a file, and gives its name to a file beside the destination while the look-up of it
/// that comes after `before` others waits. False when there was none.
fn linked(before: u64) -> bool {
    let room = Room::new();
    file(room.at("image/first"), b"twin", 0o644);
    copied(&room.at("image"), &room.at("volume/data"));
    std::fs::hard_link(room.at("image/first"), room.at("image/second")).unwrap();
    room.mount.set("lookup", Fault::Hang.after_ops(before).on_path("backing/data/first"));
    let mut copy = copy_command(&room.at("image"), &room.at("volume/data"));
    let mut copy = copy.args(["--workers", "1"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let hangs = eventually("a look-up that waits, or the end", || {
        if room.mount.statistics()["hanging"] > 0 {
            return Some(true);
        }
        copy.try_wait().unwrap().map(|_| false)
    });
    if hangs {
        let place = room.at("backing/data/first");
        std::fs::rename(&place, room.at("aside")).unwrap();
        std::fs::hard_link(room.at("backing/outside/secret"), &place).unwrap();
    }
    room.mount.clear();
    eventually("the end of the copy", || copy.try_wait().unwrap());
    let second = std::fs::read(room.at("backing/data/second"));
    assert!(
        second.as_ref().map_or(true, |content| content == b"twin"),
        "swapped at look-up {before}: {second:?} has a second name"
    );
    assert!(hangs || second.is_ok(), "not copied");
    hangs
}

/// linkat(2) gives another name to whatever has the name by then.
#[test]
fn a_file_that_another_writer_puts_in_the_place_of_one_to_be_linked_gets_no_second_name() {
    needs!(Fuse);
    let moments = (0..1000).step_by(one_in(4)).find(|before| !linked(*before)).unwrap();
    assert!(moments > 1, "looked up {moments} times: not when it was linked");
}
