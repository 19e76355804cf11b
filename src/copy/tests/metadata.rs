//! Metadata that a release changes while the content stays: it is repaired without a new file if that is safe.

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

/// An image with a dangling link and a link to a directory.
fn links() -> Volume {
    let volume = Volume::new();
    volume.put("dir/file", "1");
    for (target, name) in [("nowhere", "link"), ("dir", "to-dir")] {
        std::os::unix::fs::symlink(target, volume.image(name)).unwrap();
        date(&volume.image(name), 1, 0);
    }
    volume
}

/// Checks a dry run and a copy. A second copy has nothing to do, and the volume is as recorded.
#[track_caller]
fn as_planned(volume: &mut Volume) -> (crate::copy::List, Report) {
    volume.options.dry_run = true;
    let plan = volume.copy();
    volume.options.dry_run = false;
    let report = volume.copy();
    let counts = |r: &Report| (r.files, r.dirs, r.links, r.metadata, r.unchanged, r.kept, r.removed);
    assert_eq!(counts(&plan), counts(&report), "{:?}\n{}\n{}", plan.plan, plan.summary(), report.summary());
    let again = volume.copy();
    assert!(!again.changed(), "a second time: {}", again.summary());
    let verified = verify(&volume.at(""), None).unwrap();
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
    // With `missing`, an existing directory and its record stay.
    let mut volume = Volume::new();
    volume.put("dir/file", "1");
    chmod(&volume.image("dir"), 0o755);
    volume.copy();
    chmod(&volume.image("dir"), 0o700);
    volume.options.policy = Policy::Missing;
    let (_, report) = as_planned(&mut volume);
    assert!(!report.changed() && mode(&volume.at("dir")) == 0o755, "{}", report.summary());
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let len = rustix::fs::getxattr(path, name, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

/// Gives a directory an attribute, or takes it away.
fn attribute_is(path: &Path, name: &str, value: Option<&[u8]>) {
    match value {
        Some(value) => rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap(),
        None => rustix::fs::removexattr(path, name).unwrap(),
    }
}

/// An access control list that gives one user the permissions `perm` (`acl(5)`, `linux/posix_acl_xattr.h`).
fn acl(perm: u16) -> Vec<u8> {
    let entries = [
        (0x01, 7, u32::MAX),
        (0x02, perm, 1234),
        (0x04, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 5, u32::MAX),
    ];
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        let (tag, perm, id): (u16, u16, u32) = (tag, perm, id);
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&perm.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}

const ACL: &str = "system.posix_acl_access";

#[test]
fn a_directory_that_is_there_has_the_attributes_that_a_release_changed() {
    for policy in [Policy::Replace, Policy::KeepModified] {
        let mut volume = Volume::new();
        volume.put("dir/sub/file", "1");
        volume.put("plain/file", "1");
        volume.options.policy = policy;
        attribute_is(&volume.image("dir"), "user.a", Some(b"1"));
        attribute_is(&volume.image("dir/sub"), ACL, Some(&acl(7)));
        as_planned(&mut volume);
        // Another value, one more, one less, and another list; the content of one file changes at the same time.
        attribute_is(&volume.image("dir"), "user.a", Some(b"2"));
        attribute_is(&volume.image("dir"), "user.b", Some(b"1"));
        attribute_is(&volume.image("dir/sub"), ACL, Some(&acl(6)));
        attribute_is(&volume.image("plain"), "user.a", Some(b"1"));
        volume.put("plain/file", "2");
        let (plan, report) = as_planned(&mut volume);
        assert_eq!((report.metadata, report.files, plan.len()), (3, 1, 4), "{policy}: {plan:?}");
        for (path, name, value) in [
            ("dir", "user.a", Some(b"2".to_vec())),
            ("dir", "user.b", Some(b"1".to_vec())),
            ("dir/sub", ACL, Some(acl(6))),
            ("plain", "user.a", Some(b"1".to_vec())),
        ] {
            assert_eq!(attribute(&volume.at(path), name), value, "{policy}: {path}");
        }
        attribute_is(&volume.image("dir"), "user.b", None);
        attribute_is(&volume.image("dir/sub"), ACL, None);
        let (_, report) = as_planned(&mut volume);
        assert_eq!(report.metadata, 2, "{policy}: {}", report.summary());
        assert_eq!(attribute(&volume.at("dir"), "user.a"), Some(b"2".to_vec()), "{policy}");
        assert_eq!(attribute(&volume.at("dir"), "user.b"), None, "{policy}");
        assert_eq!(attribute(&volume.at("dir/sub"), ACL), None, "{policy}");
    }
}

#[test]
fn attributes_that_a_user_gave_a_directory_stay() {
    for policy in [Policy::Replace, Policy::KeepModified, Policy::Missing] {
        let mut volume = Volume::new();
        volume.put("dir/file", "1");
        attribute_is(&volume.image("dir"), "user.image", Some(b"1"));
        volume.copy();
        volume.options.policy = policy;
        attribute_is(&volume.at("dir"), "user.users", Some(b"1"));
        attribute_is(&volume.at("dir"), "user.image", Some(b"the user's"));
        let (_, report) = as_planned(&mut volume);
        assert!(!report.changed(), "{policy}: the image's are what they were: {}", report.summary());
        // The image changes an attribute: what the user added stays, because nobody knows that the image never had it.
        attribute_is(&volume.image("dir"), "user.image", Some(b"2"));
        as_planned(&mut volume);
        let left: &[u8] = if policy == Policy::Missing { b"the user's" } else { b"2" };
        assert_eq!(attribute(&volume.at("dir"), "user.image").as_deref(), Some(left), "{policy}");
        assert_eq!(attribute(&volume.at("dir"), "user.users").as_deref(), Some(&b"1"[..]), "{policy}");
    }
}

/// As after a restore without attributes.
#[test]
fn attributes_that_a_directory_has_lost_on_the_volume_are_brought_back() {
    for policy in [Policy::Replace, Policy::KeepModified, Policy::Missing] {
        let mut volume = Volume::new();
        volume.put("dir/file", "1");
        attribute_is(&volume.image("dir"), "user.a", Some(b"1"));
        attribute_is(&volume.image("dir"), "user.b", Some(b"1"));
        volume.copy();
        volume.options.policy = policy;
        attribute_is(&volume.at("dir"), "user.a", None);
        attribute_is(&volume.at("dir"), "user.b", Some(b"the user's"));
        let (_, report) = as_planned(&mut volume);
        let brought = u64::from(policy == Policy::Replace);
        assert_eq!(report.metadata, brought, "{policy}: {}", report.summary());
        assert_eq!(attribute(&volume.at("dir"), "user.a").is_some(), brought == 1, "{policy}");
        assert_eq!(attribute(&volume.at("dir"), "user.b").as_deref(), Some(&b"the user's"[..]), "{policy}");
        assert!(!as_planned(&mut volume).1.changed(), "{policy}");
    }
}

/// The first manifests had no digest for directories.
#[test]
fn a_manifest_without_digests_of_directories_is_read() {
    let mut volume = Volume::new();
    volume.put("dir/file", "1");
    attribute_is(&volume.image("dir"), "user.a", Some(b"1"));
    volume.copy();
    let path = volume.at(".hook-runner/manifests/image");
    let manifest = std::fs::read_to_string(&path).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("d ")).unwrap();
    let mut fields: Vec<&str> = line.split(' ').collect();
    assert_ne!(fields[8], "-", "{line}");
    fields[8] = "-";
    let (body, _) = manifest.split_once("end ").unwrap();
    let body = body.replace(line, &fields.join(" "));
    let end = format!("end 2 {}\n", blake3::hash(body.as_bytes()).to_hex());
    std::fs::write(&path, body + &end).unwrap();
    volume.options.policy = Policy::KeepModified;
    volume.edit("dir/file", "the user's");
    let (_, report) = as_planned(&mut volume);
    assert!(report.remarks.is_empty() && report.conflicts.is_empty(), "{:?}", report.remarks);
    assert_eq!((report.metadata, report.kept), (1, 1), "brought once, and recorded: {}", report.summary());
    assert!(volume.read(".hook-runner/manifests/image").contains(&format!("\n{line}\n")), "as before");
}

#[test]
fn an_attribute_that_is_the_images_again_is_told_where_nothing_else_differs() {
    let mut volume = Volume::new();
    volume.put("f", "1");
    let set = |path: &Path, value: &[u8]| {
        rustix::fs::setxattr(path, "user.x", value, rustix::fs::XattrFlags::empty()).is_ok()
    };
    if !set(&volume.image("f"), b"image") {
        return; // no attributes on this filesystem
    }
    volume.copy();
    assert!(set(&volume.at("f"), b"user"));
    let (plan, report) = as_planned(&mut volume);
    assert_eq!((plan.items, report.metadata), (vec!["set the metadata of f".to_owned()], 1));
    assert_eq!(report.changes.lines(), ["metadata  f (not as in the source)"]);
}
