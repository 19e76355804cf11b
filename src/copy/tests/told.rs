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

#[test]
fn a_dry_run_counts_what_makes_way_and_is_removed() {
    for include in [vec![], vec!["x".to_owned()]] {
        let mut volume = Volume::new();
        volume.options.prune = Prune::All;
        volume.options.include = include;
        volume.put("file/x", "1");
        volume.put("link/x", "1");
        volume.edit("file", "user");
        std::os::unix::fs::symlink("nowhere", volume.at("link")).unwrap();
        volume.options.dry_run = true;
        let (plan, count) = (volume.copy().plan.items, 2);
        volume.options.dry_run = false;
        let done = volume.copy();
        let included = !volume.options.include.is_empty();
        // What an --include leaves alone stays beside.
        let count = if included { 0 } else { count };
        assert_eq!(done.removed, count, "{}", done.summary());
        assert_eq!(volume.has("file.from-volume"), included);
        let removals = plan.iter().filter(|line| line.starts_with("remove ")).count() as u64;
        assert_eq!(removals, count, "{plan:?}");
        for name in ["file", "link"] {
            assert!(plan.contains(&format!("move {name} to {name}.from-volume")), "{plan:?}");
        }
    }
}

#[test]
fn what_is_in_the_place_of_the_copies_state_is_set_aside() {
    for place in ["", "manifests", "journal", "stage"] {
        for kind in ["file", "link", "dangling"] {
            let mut volume = Volume::new();
            volume.put("f", "1");
            volume.edit("user", "1");
            let state = volume.at(".hook-runner");
            let at = if place.is_empty() { state.clone() } else { state.join(place) };
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            match kind {
                "file" => std::fs::write(&at, "mine").unwrap(),
                "link" => std::os::unix::fs::symlink(volume.temp.path(), &at).unwrap(),
                _ => std::os::unix::fs::symlink("nowhere", &at).unwrap(),
            }
            let case = format!("{kind} at {place}");
            volume.options.dry_run = true;
            volume.copy();
            assert!(!volume.has("f") && at.symlink_metadata().is_ok_and(|stat| !stat.is_dir()), "{case}");
            volume.options.dry_run = false;
            let prepared = prepare(&volume.request()).unwrap();
            assert_eq!(prepared.remarks.len(), 1, "{case}: {:?}", prepared.remarks);
            volume.copy();
            assert_eq!(volume.read("f"), "1", "{case}");
            let kept = at.with_file_name(format!("{}.from-volume", at.file_name().unwrap().display()));
            assert!(kept.symlink_metadata().is_ok_and(|stat| !stat.is_dir()), "{case}");
            assert!(verify(&volume.at(""), None).unwrap().is_clean(), "{case}");
        }
    }
}

#[test]
fn what_is_in_the_place_of_a_file_of_the_copies_state_is_set_aside() {
    let places =
        ["manifests/image", "journal/image.next", "journal/image.moved", "journal/image.run", "inside"];
    for place in places {
        for kind in ["directory", "link"] {
            let mut volume = Volume::new();
            volume.put("f", "1");
            volume.copy();
            let at = volume.at(".hook-runner").join(place);
            let _ = std::fs::remove_file(&at);
            match kind {
                "directory" => std::fs::create_dir_all(at.join("mine")).unwrap(),
                _ => std::os::unix::fs::symlink("nowhere", &at).unwrap(),
            }
            volume.put("f", "2");
            volume.copy();
            drop(begin_run(&volume.request(), &[]).unwrap());
            volume.copy();
            assert_eq!(volume.read("f"), "2", "{kind} at {place}");
            let kept = at.with_file_name(format!("{}.from-volume", at.file_name().unwrap().display()));
            assert!(kept.symlink_metadata().is_ok(), "{kind} at {place}");
        }
    }
}
