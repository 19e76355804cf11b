//! Metadata that a release changes while the content stays: it is brought without a new file where that is safe.

use std::os::unix::fs::PermissionsExt;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::*;

/// Sets the mtime of whatever is under the path, a link itself included.
fn date(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn mtime(path: &Path) -> (i64, i64) {
    let found = path.symlink_metadata().unwrap();
    (found.mtime(), found.mtime_nsec())
}

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().unwrap().ino()
}

/// An image with a link, dangling, and one to a directory.
fn links() -> Volume {
    let volume = Volume::new();
    volume.put("dir/file", "1");
    for (target, name) in [("nowhere", "link"), ("dir", "to-dir")] {
        std::os::unix::fs::symlink(target, volume.image(name)).unwrap();
        date(&volume.image(name), 1, 0);
    }
    volume
}

/// What a dry run says, and then a copy; a second one has nothing to do and the volume is as recorded.
#[track_caller]
fn as_planned(volume: &mut Volume) -> (List, Report) {
    volume.options.dry_run = true;
    let plan = volume.copy();
    volume.options.dry_run = false;
    let report = volume.copy();
    let counts = |r: &Report| (r.files, r.dirs, r.links, r.metadata, r.unchanged, r.kept, r.removed);
    assert_eq!(counts(&plan), counts(&report), "{:?}\n{}\n{}", plan.plan, plan.summary(), report.summary());
    let again = volume.copy();
    assert!(!again.changed(), "a second time: {}", again.summary());
    let verified = verify(&volume.at(""), &volume.at(".hook-runner")).unwrap();
    assert!(verified.is_clean(), "{verified:?}");
    (plan.plan, report)
}

#[test]
fn a_link_has_the_images_new_mtime_and_stays_the_link_it_was() {
    for policy in [Policy::Replace, Policy::KeepModified] {
        let mut volume = links();
        volume.options.policy = policy;
        volume.copy();
        let before = inode(&volume.at("link"));
        date(&volume.image("link"), -5, 123_456_789);
        date(&volume.image("to-dir"), 5_000_000_000, 1);
        let (plan, report) = as_planned(&mut volume);
        assert_eq!((report.metadata, report.links), (2, 0), "{policy}: {}", report.summary());
        assert_eq!(plan.items, ["set the metadata of link", "set the metadata of to-dir"], "{policy}");
        assert_eq!(mtime(&volume.at("link")), (-5, 123_456_789), "{policy}");
        assert_eq!(mtime(&volume.at("to-dir")), (5_000_000_000, 1), "{policy}");
        assert_eq!(mtime(&volume.at("dir")), mtime(&volume.image("dir")), "{policy}: not what it leads to");
        assert_eq!(inode(&volume.at("link")), before, "{policy}: mended in place");
    }
}

#[test]
fn a_time_that_a_user_gave_a_link_is_the_images_again_only_where_the_image_wins() {
    for (policy, wins) in [(Policy::Replace, true), (Policy::KeepModified, false), (Policy::Missing, false)] {
        let mut volume = links();
        volume.copy();
        volume.options.policy = policy;
        date(&volume.at("link"), 77, 7);
        let (_, report) = as_planned(&mut volume);
        assert_eq!(report.changed(), wins, "{policy}: {}", report.summary());
        assert_eq!(mtime(&volume.at("link")) == (1, 0), wins, "{policy}");
    }
}

#[test]
fn a_link_with_another_name_elsewhere_is_not_mended_through_it() {
    let mut volume = links();
    volume.copy();
    std::fs::hard_link(volume.at("link"), volume.temp.path().join("outside")).unwrap();
    date(&volume.image("link"), 9, 9);
    let (plan, report) = as_planned(&mut volume);
    assert_eq!((plan.items, report.links), (vec!["replace link".to_owned()], 1));
    assert_eq!(mtime(&volume.at("link")), (9, 9));
    assert_eq!(mtime(&volume.temp.path().join("outside")), (1, 0));
}

#[test]
fn names_of_one_file_have_its_new_mtime_and_stay_one() {
    let mut volume = Volume::new();
    volume.put("a", "1");
    for name in ["b", "c"] {
        std::fs::hard_link(volume.image("a"), volume.image(name)).unwrap();
    }
    volume.copy();
    date(&volume.image("a"), 3, 4);
    let (_, report) = as_planned(&mut volume);
    assert_eq!(report.files, 3, "{}", report.summary());
    for name in ["a", "b", "c"] {
        assert_eq!(mtime(&volume.at(name)), (3, 4));
        assert_eq!(inode(&volume.at(name)), inode(&volume.at("a")));
    }
}

#[test]
fn a_directory_has_the_images_new_mode_and_one_that_a_user_gave_it_stays_where_it_is_to() {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    let chmod = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    for policy in [Policy::Replace, Policy::KeepModified] {
        let mut volume = Volume::new();
        volume.put("dir/sub/file", "1");
        volume.options.policy = policy;
        volume.copy();
        chmod(&volume.image("dir"), 0o2750);
        chmod(&volume.image("dir/sub"), 0o700);
        let (plan, report) = as_planned(&mut volume);
        assert_eq!((report.metadata, plan.len()), (2, 2), "{policy}: {} {plan:?}", report.summary());
        assert_eq!((mode(&volume.at("dir")), mode(&volume.at("dir/sub"))), (0o2750, 0o700), "{policy}");
        chmod(&volume.at("dir/sub"), 0o755);
        volume.copy();
        let left = if policy == Policy::Replace { 0o700 } else { 0o755 };
        assert_eq!(mode(&volume.at("dir/sub")), left, "{policy}");
    }
    // Where only what is absent is made, a directory that is there stays, and its record with it.
    let mut volume = Volume::new();
    volume.put("dir/file", "1");
    chmod(&volume.image("dir"), 0o755);
    volume.copy();
    chmod(&volume.image("dir"), 0o700);
    volume.options.policy = Policy::Missing;
    let (_, report) = as_planned(&mut volume);
    assert!(!report.changed() && mode(&volume.at("dir")) == 0o755, "{}", report.summary());
}
