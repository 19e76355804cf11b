//! Several copies into one destination, or one inside another; runs that fail; what version 0.1 left.

use super::*;

/// A copy from `source` by a request of its own.
fn copy_from(volume: &mut Volume, source: &str, to: &str) -> Report {
    let mut request = volume.request();
    request.source = volume.temp.path().join(source);
    request.destination = volume.at(to);
    request.options.owner = None;
    copy(&request, &Silent, &CancellationToken::new()).unwrap()
}

fn put(volume: &Volume, path: &str, content: &str) {
    write(&volume.temp.path().join(path), content);
}

#[test]
fn no_owner_prunes_or_restores_what_another_has() {
    let mut volume = Volume::new();
    volume.options.prune = Prune::Owned;
    put(&volume, "a/one", "1");
    put(&volume, "b/two", "2");
    for _ in 0..2 {
        assert_eq!(copy_from(&mut volume, "a", "").removed, 0);
        assert_eq!(copy_from(&mut volume, "b", "").removed, 0);
    }
    assert_eq!((volume.read("one"), volume.read("two")), ("1".into(), "2".into()));
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
    put(&volume, "a/other", "3");
    std::fs::remove_file(volume.temp.path().join("a/one")).unwrap();
    assert_eq!(copy_from(&mut volume, "a", "").removed, 1);
    assert!(!volume.has("one") && volume.has("two"));
}

#[test]
fn the_later_of_two_owners_has_the_name_and_keeps_it() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    put(&volume, "a/both", "a");
    put(&volume, "b/both", "b");
    copy_from(&mut volume, "a", "");
    assert!(copy_from(&mut volume, "b", "").conflicts.is_empty());
    for _ in 0..2 {
        assert!(!copy_from(&mut volume, "a", "").changed());
        assert!(!copy_from(&mut volume, "b", "").changed());
        assert_eq!(volume.read("both"), "b");
        assert!(verify(&volume.at(""), None).unwrap().is_clean());
    }
}

#[test]
fn a_mirror_leaves_a_destination_inside_it_alone() {
    let mut volume = Volume::new();
    volume.options.prune = Prune::All;
    put(&volume, "a/f", "1");
    put(&volume, "plugins/p", "2");
    for _ in 0..2 {
        assert_eq!(copy_from(&mut volume, "a", "").removed, 0);
        assert_eq!(copy_from(&mut volume, "plugins", "plugins").removed, 0);
    }
    assert_eq!(volume.read("plugins/p"), "2");
}

/// The outer image drops the directory that contains another destination: its files were never the outer copy's to
/// remove.
#[test]
fn what_a_destination_inside_another_has_outlives_the_directory_in_the_outer_image() {
    for prune in [Prune::Owned, Prune::All] {
        for inner in ["sub", "sub/deeper"] {
            let mut volume = Volume::new();
            volume.options.prune = prune;
            put(&volume, "a/f", "1");
            put(&volume, &format!("a/{inner}/p"), "the outer image's");
            put(&volume, "inner/p", "the inner image's");
            copy_from(&mut volume, "a", "");
            copy_from(&mut volume, "inner", inner);
            volume.edit(&format!("{inner}/p"), "the hook's");
            for to in ["", inner] {
                let mut request = volume.request();
                request.destination = volume.at(to);
                ended_well(&request);
            }
            std::fs::remove_dir_all(volume.temp.path().join("a/sub")).unwrap();
            for _ in 0..2 {
                let outer = copy_from(&mut volume, "a", "");
                assert_eq!((outer.removed, outer.remarks.len()), (0, 0), "{prune:?} {inner}: {outer:?}");
                assert!(!copy_from(&mut volume, "inner", inner).changed(), "{prune:?} {inner}");
                assert_eq!(volume.read(&format!("{inner}/p")), "the hook's", "{prune:?} {inner}");
                assert!(verify(&volume.at(""), None).unwrap().is_clean(), "{prune:?} {inner}");
            }
        }
    }
}

#[test]
fn nothing_is_pruned_that_an_owner_may_have_whose_manifest_cannot_be_read() {
    for prune in [Prune::Owned, Prune::All] {
        let mut volume = Volume::new();
        volume.options.prune = prune;
        put(&volume, "a/one", "1");
        put(&volume, "a/both", "3");
        put(&volume, "b/two", "2");
        put(&volume, "b/both", "3");
        copy_from(&mut volume, "a", "");
        copy_from(&mut volume, "b", "");
        let manifests = std::fs::read_dir(volume.at(".hook-runner/manifests")).unwrap();
        let torn = manifests
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_str().unwrap().ends_with("%2fa"));
        let torn = std::fs::File::options().write(true).open(torn.unwrap()).unwrap();
        torn.set_len(torn.metadata().unwrap().len() - 5).unwrap();
        std::fs::remove_file(volume.temp.path().join("b/both")).unwrap();
        let report = copy_from(&mut volume, "b", "");
        assert_eq!(report.removed, 0, "{prune:?}");
        assert!(
            report.remarks.iter().any(|remark| remark.contains("cannot be read")),
            "{:?}",
            report.remarks
        );
        assert!(volume.has("one") && volume.has("both"), "{prune:?}");
        // Once that copy has said again what it has, the other's is pruned again.
        copy_from(&mut volume, "a", "");
        assert_eq!(copy_from(&mut volume, "b", "").remarks, Vec::<String>::new(), "{prune:?}");
        assert!(volume.has("one") && volume.has("both"), "{prune:?}");
        assert!(verify(&volume.at(""), None).unwrap().is_clean());
    }
}

#[test]
fn what_a_failed_run_edited_is_installed_anew_and_no_users_edit() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    volume.put("t", "vote A");
    volume.put("mine", "1");
    volume.copy();
    volume.edit("mine", "the user's");
    volume.copy();
    drop(begin_run(&volume.request(), &[]).unwrap());
    volume.edit("t", "vote Cats");
    let mut retry = volume.request();
    retry.steps_follow = true;
    copy(&retry, &Silent, &CancellationToken::new()).unwrap();
    assert_eq!((volume.read("t"), volume.read("mine")), ("vote A".into(), "the user's".into()));
    drop(begin_run(&volume.request(), &[]).unwrap());
    volume.edit("t", "vote Cats");
    volume.seal();
    volume.put("t", "vote B");
    let next = volume.copy();
    assert!(next.conflicts.is_empty(), "{}", next.summary());
    assert_eq!(volume.read("t"), "vote B");
}

#[test]
fn a_touched_file_is_not_an_edit_and_a_users_own_from_image_stays() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    volume.put("touched", "1");
    volume.put("edited", "1");
    volume.copy();
    write(&volume.at("touched"), "1");
    volume.edit("edited", "user");
    volume.edit("edited.from-image", "merge begun");
    volume.put("touched", "2");
    volume.put("edited", "2");
    assert_eq!(volume.copy().conflicts.items, ["edited"]);
    assert_eq!(volume.read("touched"), "2");
    assert_eq!(volume.read("edited"), "user");
    assert_eq!(volume.read("edited.from-image"), "merge begun");
    assert_eq!(volume.read("edited.from-image-1"), "2");
}

#[test]
fn a_link_is_made_only_to_what_has_the_images_content() {
    let mut volume = Volume::new();
    volume.put("1", "x");
    std::fs::hard_link(volume.image("1"), volume.image("2")).unwrap();
    volume.copy();
    volume.edit("1", "EDIT");
    volume.seal();
    volume.copy();
    assert_eq!((volume.read("1"), volume.read("2")), ("EDIT".into(), "x".into()));
}

#[test]
fn a_copy_that_is_cut_short_again_and_again_comes_to_its_end() {
    let mut volume = Volume::new();
    volume.options.workers = std::num::NonZeroUsize::new(1);
    for n in 0..12 {
        volume.put(&format!("d{}/f{n}", n % 3), &n.to_string());
    }
    let mut written = 0;
    let whole = (1..40).any(|steps| {
        let done = cut::after(&mut volume, steps * 2).is_some();
        written = volume.at(".hook-runner/stage").read_dir().map_or(0, Iterator::count);
        done
    });
    assert!(whole, "it never ended");
    assert_eq!(written, 0, "staging is gone when the copy has ended");
    assert!((0..12).all(|n| volume.read(&format!("d{}/f{n}", n % 3)) == n.to_string()));
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
}

/// Written by version 0.1 for these two files with an mtime of 1.
const OF_0_1: &str = "hook-runner manifest 1
/
f - 644 0 0 1 1.000000000 d63bd9a826af91c1fea371965a64e11ee20f13e46b5f52c59901136605b3a487 - = dropped
f - 644 0 0 1 1.000000000 d63bd9a826af91c1fea371965a64e11ee20f13e46b5f52c59901136605b3a487 - = kept
end 1 937ed7005afb2bc25f4acd5151f76c45feaf7baf52770033e9223d7cc7f8f93e
";

#[test]
fn what_version_0_1_installed_is_known_and_pruned() {
    let mut volume = Volume::new();
    volume.put("kept", "1");
    write(&volume.at("kept"), "1");
    write(&volume.at("dropped"), "1");
    write(&volume.at("mine"), "1");
    write(&volume.at(".hook-runner/manifest/root"), OF_0_1);
    volume.options.prune = Prune::Owned;
    assert_eq!(volume.copy().removed, 1);
    assert!(volume.has("kept") && volume.has("mine") && !volume.has("dropped"));
    assert!(!volume.has(".hook-runner/manifest/root"), "brought over");
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
}

#[test]
fn a_directory_in_the_way_is_moved_beside_with_all_that_is_in_it() {
    let mut volume = Volume::new();
    volume.edit("conf/mine", "precious");
    volume.put("conf", "x");
    volume.copy();
    assert_eq!((volume.read("conf"), volume.read("conf.from-volume/mine")), ("x".into(), "precious".into()));
}

#[test]
fn a_later_copy_with_the_same_bytes_sets_its_own_mode() {
    use std::os::unix::fs::PermissionsExt;
    for policy in [Policy::Replace, Policy::KeepModified] {
        let mut volume = Volume::new();
        volume.options.policy = policy;
        for (source, mode) in [("a", 0o600), ("b", 0o755)] {
            put(&volume, &format!("{source}/x"), "1");
            let path = volume.temp.path().join(source).join("x");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            copy_from(&mut volume, source, "");
        }
        assert_eq!(volume.at("x").metadata().unwrap().mode() & 0o7777, 0o755, "{policy}");
        assert!(!copy_from(&mut volume, "b", "").changed());
        assert!(verify(&volume.at(""), None).unwrap().is_clean());
    }
}

#[test]
fn hard_links_of_the_image_are_one_file_though_the_first_of_them_is_a_users() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    volume.put("a", "image's");
    for name in ["b", "c", "d"] {
        std::fs::hard_link(volume.image("a"), volume.image(name)).unwrap();
    }
    for users in ["a", "b", "c", "d"] {
        volume.edit(users, "user's");
        volume.copy();
        let others: Vec<&str> = ["a", "b", "c", "d"].into_iter().filter(|name| *name != users).collect();
        let inodes = others.iter().map(|name| volume.at(name).metadata().unwrap().ino());
        assert!(inodes.collect::<std::collections::BTreeSet<_>>().len() == 1, "{users} is a user's");
        assert_eq!(volume.read(users), "user's");
        assert!(others.iter().all(|name| volume.read(name) == "image's"));
        assert!(!volume.copy().changed());
        std::fs::remove_dir_all(volume.at("")).unwrap();
        std::fs::create_dir(volume.at("")).unwrap();
    }
}

#[test]
fn a_directory_comes_back_in_the_place_of_the_file_that_another_copy_had_there_meanwhile() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    put(&volume, "old/x/page", "1");
    put(&volume, "new/x", "2");
    let mut run = |source: &str| {
        let mut request = volume.request();
        request.source = volume.temp.path().join(source);
        request.options.owner = Some(source.into());
        request.later = Some(Vec::new());
        copy(&request, &Silent, &CancellationToken::new()).unwrap()
    };
    for _ in 0..2 {
        assert!(run("old").conflicts.is_empty());
        assert!(run("new").conflicts.is_empty());
    }
    assert!(run("old").conflicts.is_empty());
    assert_eq!(volume.read("x/page"), "1");
    assert!(!volume.has("x.from-volume") && !volume.has("x.from-image"));
}
