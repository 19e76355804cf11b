//! Entries that the image dropped and nobody removed: they stay recorded over several releases, until pruning or the
//! image decides.

use super::*;

/// A volume after a release with `gone/` and one without it, without pruning.
fn dropped() -> Volume {
    let mut volume = Volume::new();
    volume.put("stays", "1");
    volume.put("gone/deep/file", "1");
    volume.put("gone/other", "1");
    std::os::unix::fs::symlink("other", volume.image("gone/link")).unwrap();
    volume.copy();
    std::fs::remove_dir_all(volume.image("gone")).unwrap();
    for release in 2..5 {
        volume.put("stays", &release.to_string());
        let report = volume.copy();
        assert_eq!((report.files, report.removed), (1, 0), "{}", report.summary());
        volume.seal();
        assert!(verify(&volume.at(""), None).unwrap().is_clean());
    }
    assert_eq!(volume.read("gone/deep/file"), "1");
    volume
}

#[test]
fn what_was_dropped_long_ago_is_pruned_when_that_is_switched_on() {
    let mut volume = dropped();
    volume.options.prune = Prune::Owned;
    volume.options.dry_run = true;
    let planned = volume.copy().plan.items;
    let all = ["gone", "gone/deep", "gone/deep/file", "gone/link", "gone/other"];
    assert_eq!(planned, all.map(|path| format!("remove {path}")));
    volume.options.dry_run = false;
    assert_eq!(volume.copy().removed, 5);
    assert!(!volume.has("gone") && volume.has("stays"));
    assert!(!volume.copy().changed());
}

#[test]
fn what_was_dropped_and_then_changed_by_the_user_stays() {
    for policy in [Policy::Replace, Policy::KeepModified] {
        let mut volume = dropped();
        volume.options.policy = policy;
        volume.edit("gone/deep/file", "mine");
        volume.edit("gone/deep/new", "mine");
        volume.seal();
        assert!(!volume.copy().changed());
        volume.options.prune = Prune::Owned;
        assert_eq!(volume.copy().removed, 2, "the other file and the link");
        assert_eq!(volume.read("gone/deep/file"), "mine");
        assert_eq!(volume.read("gone/deep/new"), "mine");
        assert!(!volume.copy().changed());
        // If it is put back as installed, it counts as ours again; a file that was never installed stays.
        volume.edit("gone/deep/file", "1");
        volume.copy();
        assert!(!volume.has("gone/deep/file") && volume.has("gone/deep/new"));
    }
}

#[test]
fn what_was_dropped_is_the_images_again_when_it_comes_back() {
    for (policy, user) in [
        (Policy::Replace, false),
        (Policy::Replace, true),
        (Policy::KeepModified, false),
        (Policy::KeepModified, true),
    ] {
        let mut volume = dropped();
        volume.options.policy = policy;
        if user {
            volume.edit("gone/other", "mine");
        }
        volume.put("gone/deep/file", "1");
        volume.put("gone/other", "back");
        let report = volume.copy();
        let kept = user && policy == Policy::KeepModified;
        assert_eq!(volume.read("gone/other"), if kept { "mine" } else { "back" }, "{policy} {user}");
        assert_eq!(volume.read("gone/deep/file"), "1");
        assert_eq!(report.conflicts.items.len(), usize::from(kept), "{policy} {user}");
        if kept {
            assert_eq!(volume.read("gone/other.from-image"), "back");
        }
        assert!(!volume.copy().changed(), "{policy} {user}");
        // It is installed again, so that a release without it may prune it.
        std::fs::remove_dir_all(volume.image("gone")).unwrap();
        volume.options.prune = Prune::Owned;
        volume.copy();
        assert_eq!(volume.has("gone/other"), kept, "{policy} {user}");
        assert!(!volume.has("gone/deep") && !volume.has("gone/link"), "{policy} {user}");
    }
}

#[test]
fn what_comes_back_as_another_type_replaces_what_was_dropped() {
    let mut volume = dropped();
    volume.put("gone", "a file");
    volume.copy();
    assert_eq!(volume.read("gone"), "a file");
    assert!(!volume.copy().changed());
    std::fs::remove_file(volume.image("gone")).unwrap();
    volume.copy();
    volume.put("gone/other", "a directory");
    volume.copy();
    assert_eq!(volume.read("gone/other"), "a directory");
    assert!(!volume.copy().changed());
}

/// An interrupted copy had made this directory just before its manifest was put in force.
#[test]
fn a_directory_that_a_copy_cut_short_had_made_is_pruned_later() {
    let mut volume = Volume::new();
    volume.put("stays", "1");
    volume.put("was-a-file", "1");
    volume.copy();
    let manifest = volume.at(".hook-runner/manifests/image");
    let before = std::fs::read(&manifest).unwrap();
    volume.put("new/deep/file", "1");
    std::fs::remove_file(volume.image("was-a-file")).unwrap();
    volume.put("was-a-file/file", "1");
    volume.copy();
    std::fs::rename(&manifest, volume.at(".hook-runner/journal/image.next")).unwrap();
    std::fs::write(&manifest, before).unwrap();
    // It had renamed the file into place, but not set the directory's mtime.
    std::fs::File::open(volume.at("new/deep")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    volume.copy();
    let mtime = |path: PathBuf| path.metadata().unwrap().modified().unwrap();
    assert_eq!(mtime(volume.at("new/deep")), mtime(volume.image("new/deep")));
    std::fs::remove_dir_all(volume.image("new")).unwrap();
    std::fs::remove_dir_all(volume.image("was-a-file")).unwrap();
    volume.options.prune = Prune::Owned;
    assert_eq!(volume.copy().removed, 5);
    assert!(!volume.has("new") && !volume.has("was-a-file"));
}

#[test]
fn a_directory_that_something_was_pruned_from_has_the_images_mtime() {
    for prune in [Prune::Owned, Prune::All] {
        let mut volume = Volume::new();
        for name in ["stays", "goes"] {
            volume.put(&format!("a/b/{name}"), "1");
        }
        volume.copy();
        std::fs::remove_file(volume.image("a/b/goes")).unwrap();
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_890);
        std::fs::File::open(volume.image("a/b")).unwrap().set_modified(at).unwrap();
        volume.options.prune = prune;
        assert_eq!(volume.copy().removed, 1);
        assert_eq!(volume.at("a/b").metadata().unwrap().modified().unwrap(), at);
    }
}

#[test]
fn what_a_copy_cut_short_had_in_mind_is_forgotten_when_the_image_is_taken_back() {
    let mut volume = Volume::new();
    volume.put("stays", "1");
    volume.copy();
    let manifest = volume.at(".hook-runner/manifests/image");
    let before = std::fs::read(&manifest).unwrap();
    volume.put("new/file", "1");
    volume.copy();
    std::fs::rename(&manifest, volume.at(".hook-runner/journal/image.next")).unwrap();
    std::fs::write(&manifest, before).unwrap();
    // Interrupted before anything had its final name; then the release is rolled back.
    for root in [volume.at("new"), volume.image("new")] {
        std::fs::remove_dir_all(root).unwrap();
    }
    assert!(!volume.copy().changed());
    assert!(!volume.has(".hook-runner/journal/image.next"));
    // So the same file counts as the user's.
    volume.edit("new/file", "1");
    volume.put("new/file", "1");
    volume.copy();
    std::fs::remove_dir_all(volume.image("new")).unwrap();
    volume.options.prune = Prune::Owned;
    volume.copy();
    assert_eq!(volume.read("new/file"), "1");
}

/// A copy of the current image that was interrupted when everything had its name, just before its manifest was put in
/// force.
fn cut_short(volume: &mut Volume) {
    let manifest = volume.at(".hook-runner/manifests/image");
    let before = std::fs::read(&manifest).unwrap();
    volume.copy();
    std::fs::rename(&manifest, volume.at(".hook-runner/journal/image.next")).unwrap();
    std::fs::write(&manifest, before).unwrap();
}

#[test]
fn what_a_copy_cut_short_installed_is_no_users_change_whatever_image_comes_next() {
    for policy in [Policy::Replace, Policy::KeepModified] {
        // Back to the release before, the same again, and on to the next: all of one size and mtime.
        for next in ["old", "new", "now"] {
            let mut volume = Volume::new();
            volume.options.policy = policy;
            volume.options.prune = Prune::Owned;
            for path in ["file", "of-another-size", "dropped", "sub/gone-later"] {
                volume.put(path, "old");
            }
            std::os::unix::fs::symlink("old", volume.image("link")).unwrap();
            volume.copy();
            let release = |volume: &Volume, content: &str| {
                std::fs::remove_dir_all(volume.image("")).unwrap();
                std::fs::create_dir(volume.image("")).unwrap();
                volume.put("file", content);
                volume.put("of-another-size", &content.repeat(1 + usize::from(content == "new")));
                std::os::unix::fs::symlink(content, volume.image("link")).unwrap();
                if content != "now" {
                    volume.put("dropped", content);
                    volume.put("sub/gone-later", content);
                }
                if content == "new" {
                    volume.put("of-that-one-only/deep/file", content);
                    volume.put("sub/of-that-one-only", content);
                }
            };
            release(&volume, "new");
            cut_short(&mut volume);
            // What a user adds in between does not belong to it.
            volume.edit("of-that-one-only/mine", "the user's");
            release(&volume, next);
            let report = volume.copy();
            assert!(
                report.conflicts.is_empty() && report.kept == 0,
                "{policy}, {next}: {}",
                report.summary()
            );
            assert_eq!(volume.read("file"), next, "{policy}");
            assert_eq!(
                volume.read("of-another-size"),
                next.repeat(1 + usize::from(next == "new")),
                "{policy}"
            );
            assert_eq!(std::fs::read_link(volume.at("link")).unwrap(), Path::new(next), "{policy}");
            for (path, stays) in [
                ("dropped", next != "now"),
                ("sub/gone-later", next != "now"),
                ("of-that-one-only/deep", next == "new"),
                ("sub/of-that-one-only", next == "new"),
                ("of-that-one-only/mine", true),
            ] {
                assert_eq!(volume.has(path), stays, "{policy}, {next}: {path}");
            }
            let again = volume.copy();
            assert!(!again.changed(), "{policy}, {next}: {}", again.summary());
            assert!(verify(&volume.at(""), None).unwrap().is_clean());
        }
    }
}

#[test]
fn what_a_special_file_took_the_place_of_is_dropped() {
    let mut volume = Volume::new();
    volume.options.prune = Prune::Owned;
    for path in ["stays", "pipe", "edited"] {
        volume.put(path, "1");
    }
    volume.copy();
    volume.edit("edited", "the user's");
    for name in ["pipe", "edited"] {
        std::fs::remove_file(volume.image(name)).unwrap();
        nix::unistd::mkfifo(&volume.image(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let report = volume.copy();
    assert_eq!((report.skipped.len(), report.removed), (2, 1), "{}", report.summary());
    assert!(!volume.has("pipe") && volume.has("stays"));
    assert_eq!(volume.read("edited"), "the user's");
    assert!(!volume.copy().changed());
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
}
