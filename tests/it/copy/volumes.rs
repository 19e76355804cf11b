//! The copy on volumes that are otherwise than ext4: names that are found however they are spelled, what cannot be kept, open
//! files that cannot be replaced.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use faultfs::{Manner, Mount};

use crate::needs;
use crate::support::harness::PROGRAM;

/// A test directory whose `v` is a volume of that manner.
fn volume(manner: Manner) -> (tempfile::TempDir, Mount) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let [backing, mount] = ["backing", "v"].map(|name| home.path().join(name));
    for dir in [&backing, &mount] {
        fs::create_dir(dir).expect("made");
    }
    let started = Mount::options().ttl(Duration::ZERO).manner(manner).start(&backing, &mount);
    (home, started.expect("mounted"))
}

fn put(home: &Path, path: &str, content: &str) {
    let path = home.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, content).expect("written");
}

/// `hook-runner` with these arguments: its status, and what it said.
fn run(home: &Path, arguments: &str) -> (i32, String) {
    let out = Command::new(PROGRAM).current_dir(home).args(arguments.split(' ')).output().expect("started");
    let said = [out.stdout, out.stderr].concat();
    (out.status.code().expect("no signal"), String::from_utf8(said).expect("UTF-8"))
}

#[track_caller]
fn done(home: &Path, arguments: &str) -> String {
    let (status, said) = run(home, arguments);
    assert_eq!(status, 0, "{arguments}: {said}");
    said
}

fn read(home: &Path, path: &str) -> String {
    fs::read_to_string(home.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn an_image_that_only_spells_names_otherwise_loses_nothing_on_a_caseless_volume() {
    needs!(Fuse);
    for options in [
        "--policy keep-modified --prune all",
        "--policy replace --prune all",
        "--prune owned",
        "--prune none",
    ] {
        let (home, _mount) = volume(Manner::NoCase);
        let home = home.path();
        put(home, "A/Lib/f", "old");
        put(home, "A/Lib/Deep/g", "same");
        put(home, "A/Readme", "old");
        done(home, "copy A v --prune owned");
        for (from, to) in [("A/Lib", "A/lib"), ("A/lib/Deep", "A/lib/deep"), ("A/Readme", "A/README")] {
            fs::rename(home.join(from), home.join(to)).expect("renamed");
        }
        put(home, "A/lib/f", "new");
        put(home, "A/README", "new");
        done(home, &format!("copy A v {options}"));
        let now = ["v/lib/f", "v/lib/deep/g", "v/readme"].map(|path| read(home, path));
        assert_eq!(now, ["new", "same", "new"], "{options}");
        assert!(!home.join("v/readme.from-image").exists(), "{options}: it is no user's");
        done(home, "verify v");
        let again = done(home, &format!("copy A v {options}"));
        assert!(again.starts_with("hook-runner: 0 files (0 B) copied, 3 unchanged\n"), "{options}: {again}");
    }
}

#[test]
fn what_another_owner_spells_otherwise_is_not_pruned_on_a_caseless_volume() {
    needs!(Fuse);
    for prune in ["owned", "all"] {
        let (home, _mount) = volume(Manner::NoCase);
        let home = home.path();
        put(home, "A/Lib/f", "a");
        put(home, "A/own", "a");
        put(home, "B/lib/f", "b");
        done(home, "copy A v");
        done(home, "copy B v");
        fs::remove_dir_all(home.join("A/Lib")).expect("removed");
        done(home, &format!("copy A v --prune {prune}"));
        assert_eq!(read(home, "v/lib/f"), "b", "{prune}");
    }
}

#[test]
fn two_names_that_are_one_on_the_volume_are_told_before_anything_is_copied() {
    needs!(Fuse);
    let (home, _mount) = volume(Manner::NoCase);
    let home = home.path();
    put(home, "A/a", "1");
    put(home, "A/A", "2");
    let (status, said) = run(home, "copy A v");
    // The directory of the volume is made by then.
    assert!(status == 74 && said.contains("A and a of the source are one name"), "{status}: {said}");
    assert!(!home.join("v/a").exists());
    done(home, "copy A v --exclude /a");
}

#[test]
fn what_a_volume_cannot_keep_is_no_difference() {
    needs!(Fuse);
    let manners = [
        Manner::Modes777,
        Manner::ModeIgnored,
        Manner::OwnerIgnored,
        Manner::TimesIgnored,
        Manner::TimesRefused,
        Manner::Times1s,
        Manner::Times2s,
        Manner::Times100ns,
        Manner::NoXattrs,
        Manner::NoHardLinks,
    ];
    for manner in manners {
        let (home, _mount) = volume(manner);
        let home = home.path();
        put(home, "A/Lib/f", "1");
        put(home, "A/x", "2");
        fs::hard_link(home.join("A/x"), home.join("A/also-x")).expect("linked");
        done(home, "copy A v");
        done(home, "verify v");
        let again = done(home, "copy A v");
        assert!(again.starts_with("hook-runner: 0 files (0 B) copied, 3 unchanged\n"), "{manner:?}: {again}");
        put(home, "A/Lib/f", "11");
        done(home, "copy A v --policy keep-modified");
        assert_eq!(read(home, "v/Lib/f"), "11", "{manner:?}");
        done(home, "verify v");
    }
}

#[test]
fn an_open_file_that_cannot_be_replaced_is_told_and_the_runners_own_are_no_hindrance() {
    needs!(Fuse);
    let (home, _mount) = volume(Manner::BusyOpen);
    let home = home.path();
    put(home, "A/f", "1");
    done(home, "copy A v");
    put(home, "A/f", "2");
    let open = fs::File::open(home.join("v/f")).expect("opened");
    let (status, said) = run(home, "copy A v");
    assert!(status == 74 && said.contains("v/f is open in a process"), "{status}: {said}");
    assert_eq!(read(home, "v/f"), "1");
    drop(open);
    done(home, "copy A v");
    assert_eq!(read(home, "v/f"), "2");
    done(home, "verify v");
}
