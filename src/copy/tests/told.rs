//! What a copy reports: one line per entry, and messages of our own.

use super::*;

fn told(report: &Report) -> Vec<String> {
    report.changes.items.iter().map(|change| format!("{} {}", change.action, change.path)).collect()
}

/// A dry run and the copy report the same.
#[track_caller]
fn both(volume: &mut Volume, expected: &[&str]) {
    for dry_run in [true, false] {
        volume.options.dry_run = dry_run;
        assert_eq!(told(&volume.copy()), expected, "dry run: {dry_run}");
    }
}

#[test]
fn a_directory_that_is_made_for_an_included_file_is_told() {
    let mut volume = Volume::new();
    volume.put("d/e/wanted", "1");
    volume.put("d/e/other", "1");
    volume.options.include = vec!["wanted".into()];
    both(&mut volume, &["installed d", "installed d/e", "installed d/e/wanted"]);
}

#[test]
fn hard_links_that_the_image_has_parted_are_told() {
    let mut volume = Volume::new();
    volume.put("a", "1");
    std::fs::create_dir(volume.image("d")).unwrap();
    std::fs::hard_link(volume.image("a"), volume.image("d/b")).unwrap();
    volume.copy();
    for name in ["a", "d/b"] {
        std::fs::remove_file(volume.image(name)).unwrap();
        write(&volume.image(name), "1");
    }
    both(&mut volume, &["replaced a", "replaced d/b"]);
}

#[test]
fn a_link_of_the_source_that_cannot_be_followed_is_the_sources_fault() {
    for target in ["nowhere", "x", "."] {
        let mut volume = Volume::new();
        std::os::unix::fs::symlink(target, volume.image("x")).unwrap();
        volume.options.dereference = true;
        let error = copy(&volume.request(), &Silent, &CancellationToken::new()).unwrap_err();
        assert_eq!(error.cause(), Cause::Config);
        assert!(error.to_string().contains("image/x leads to nothing, or into itself"), "{error}");
        // As its message advises.
        volume.options.exclude = vec!["x".into()];
        volume.copy();
    }
}

#[test]
fn a_file_that_is_linked_anew_is_no_conflict() {
    for policy in [Policy::Replace, Policy::KeepModified] {
        let mut volume = Volume::new();
        volume.options.policy = policy;
        volume.put("d/a", "1");
        for other in ["d/b", "x"] {
            std::fs::hard_link(volume.image("d/a"), volume.image(other)).unwrap();
        }
        volume.copy();
        // The release lacks one of the names, and has its own file under the others.
        for gone in ["d/a", "d/b", "x"] {
            std::fs::remove_file(volume.image(gone)).unwrap();
        }
        volume.put("d/a", "1");
        std::fs::set_permissions(volume.image("d/a"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        std::fs::hard_link(volume.image("d/a"), volume.image("x")).unwrap();
        let report = volume.copy();
        assert!(report.conflicts.is_empty() && report.kept == 0, "{policy}: {}", report.summary());
        assert!(!volume.has("d/a.from-image"), "{policy}");
        let inode = |path| volume.at(path).metadata().unwrap().ino();
        assert_eq!(inode("d/a"), inode("x"), "{policy}");
    }
}
