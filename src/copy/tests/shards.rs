//! Several copiers that share a tree, one after the other: together they leave what a single one would.

use super::*;

const COPIERS: u32 = 4;

/// A volume to which all copiers have copied.
fn together(volume: &mut Volume) -> Vec<Report> {
    in_turn(volume, 0)
}

/// The same, starting with another copier.
fn in_turn(volume: &mut Volume, first: u32) -> Vec<Report> {
    let reports = (0..COPIERS).map(|n| (first + n) % COPIERS).map(|index| {
        volume.options.shard = Some(Shard { index, count: COPIERS });
        volume.copy()
    });
    let reports = reports.collect();
    volume.options.shard = None;
    reports
}

fn sum(reports: &[Report], of: impl Fn(&Report) -> u64) -> u64 {
    reports.iter().map(of).sum()
}

/// The volume is as a single copier would have left it: that one finds nothing to do.
#[track_caller]
fn complete(volume: &mut Volume) {
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
    let path = volume.at(".hook-runner/manifests/image");
    let before = path.metadata().unwrap().ino();
    let whole = copy(&volume.request(), &Silent, &CancellationToken::new()).unwrap();
    assert!(!whole.changed(), "{}", whole.summary());
    assert_eq!(path.metadata().unwrap().ino(), before, "one copier has something else to record");
}

/// An image with a directory of each role: shared, a piece, and one whose many files are dealt out one by one.
fn mixed() -> Volume {
    let volume = Volume::new();
    volume.put("file", "1");
    for n in 0..200 {
        volume.put(&format!("many/{n}"), "1");
    }
    for n in 0..60 {
        volume.put(&format!("shared/{}/{n}", n % 20), "1");
        volume.put(&format!("shared/beside-{}", n % 10), "1");
    }
    volume
}

#[test]
fn releases_of_a_shared_tree_are_brought_and_pruned_as_by_one_copier() {
    let mut volume = mixed();
    volume.options.prune = Prune::Owned;
    assert_eq!(sum(&together(&mut volume), |r| r.files), 271);
    // Except for the time of the first copy, and the hash of everything.
    let records = |volume: &Volume| {
        let manifest = volume.read(".hook-runner/manifests/image");
        let other = |line: &&str| !line.starts_with("since ") && !line.starts_with("end ");
        manifest.lines().filter(other).map(str::to_owned).collect::<Vec<_>>()
    };
    let manifest = records(&volume);
    std::fs::remove_dir_all(volume.at("")).unwrap();
    volume.copy();
    assert_eq!(records(&volume), manifest, "as written by one copier");
    std::fs::remove_dir_all(volume.at("")).unwrap();
    together(&mut volume);
    complete(&mut volume);
    assert_eq!(sum(&together(&mut volume), |r| r.files), 0);

    // Entries of each kind of directory change, vanish, and take each other's places.
    volume.put("many/7", "2");
    volume.put("shared/beside-3", "2");
    volume.put("shared/4/4", "2");
    for n in 100..200 {
        std::fs::remove_file(volume.image(&format!("many/{n}"))).unwrap();
    }
    std::fs::remove_dir_all(volume.image("shared/5")).unwrap();
    std::fs::remove_dir_all(volume.image("shared/6")).unwrap();
    std::fs::remove_file(volume.image("shared/beside-6")).unwrap();
    volume.put("shared/6", "now a file");
    volume.put("shared/beside-6/file", "now in a directory");
    let reports = together(&mut volume);
    assert_eq!((sum(&reports, |r| r.files), sum(&reports, |r| r.removed)), (5, 104));
    assert!(!volume.has("shared/5") && !volume.has("many/100"));
    assert_eq!(volume.read("shared/6"), "now a file");
    complete(&mut volume);

    // The shared directory vanishes as a whole.
    std::fs::remove_dir_all(volume.image("shared")).unwrap();
    std::fs::remove_dir_all(volume.image("many")).unwrap();
    together(&mut volume);
    assert!(!volume.has("shared") && !volume.has("many") && volume.has("file"));
    complete(&mut volume);
}

#[test]
fn what_users_do_to_a_shared_tree_is_kept_as_by_one_copier() {
    let mut volume = mixed();
    volume.options.policy = Policy::KeepModified;
    together(&mut volume);
    for path in ["many/3", "shared/beside-1", "shared/2/2"] {
        volume.edit(path, "the user's");
        volume.put(path, "2");
    }
    for path in ["many/4", "shared/beside-2", "shared/3/3"] {
        std::fs::remove_file(volume.at(path)).unwrap();
    }
    std::fs::remove_dir_all(volume.at("shared/7")).unwrap();
    for _ in 0..2 {
        let reports = together(&mut volume);
        for path in ["many/3", "shared/beside-1", "shared/2/2"] {
            assert_eq!(volume.read(path), "the user's");
            assert_eq!(volume.read(&format!("{path}.from-image")), "2");
        }
        for path in ["many/4", "shared/beside-2", "shared/3/3", "shared/7"] {
            assert!(!volume.has(path), "{path} was removed by the user, and is back");
        }
        let conflicts: usize = reports.iter().map(|r| r.conflicts.items.len()).sum();
        assert!(conflicts <= 3, "{conflicts}");
    }
}

#[test]
fn parts_of_copiers_that_saw_another_image_are_not_put_together() {
    let mut volume = mixed();
    let apart = |volume: &mut Volume| {
        let outcome = copy(&volume.request(), &Silent, &CancellationToken::new());
        outcome.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for index in 0..COPIERS {
        volume.options.shard = Some(Shard { index, count: COPIERS });
        if index == 2 {
            volume.put("shared/came-between", "1");
        }
        let error = apart(&mut volume);
        // The last to finish finds out.
        let expected = if index == 3 { "of this run, 0/4, 1/4 copied another image" } else { "" };
        assert!(error.starts_with(expected) && error.is_empty() == expected.is_empty(), "{index}: {error}");
    }
    assert!(!volume.at(".hook-runner/manifests/image").exists(), "half of two images");
    // With the current image they complete each other; until then they fail.
    volume.options.shard = Some(Shard { index: 0, count: COPIERS });
    assert!(apart(&mut volume).starts_with("of this run, 1/4 copied another image"));
    in_turn(&mut volume, 1);
    complete(&mut volume);
}

#[test]
fn a_directory_has_the_images_new_mtime_where_nothing_is_put_into_it() {
    for shards in [false, true] {
        let mut volume = mixed();
        let copy = |volume: &mut Volume| if shards { together(volume) } else { vec![volume.copy()] };
        copy(&mut volume);
        let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        for path in ["shared", "shared/4", "many"] {
            let dir = std::fs::File::open(volume.image(path)).unwrap();
            dir.set_modified(later).unwrap();
        }
        copy(&mut volume);
        for path in ["shared", "shared/4", "many"] {
            let found = volume.at(path).metadata().unwrap().modified().unwrap();
            assert_eq!(found, later, "{path}, shards: {shards}");
        }
    }
}

/// A directory that all walk through, with another one in it.
fn put_shared(volume: &Volume, path: &str) {
    for n in 0..40 {
        volume.put(&format!("{path}/{}/{n}", n % 20), "1");
        volume.put(&format!("{path}/inner/{}/{n}", n % 20), "1");
    }
    for dir in ["", "/inner"] {
        volume.put(&format!("{path}{dir}/beside"), "1");
    }
}

/// Takes a path out of the image.
fn drop_path(volume: &Volume, path: &str) {
    let path = volume.image(path);
    if path.symlink_metadata().unwrap().is_dir() {
        std::fs::remove_dir_all(path).unwrap();
    } else {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn files_and_links_that_become_shared_directories_and_back_are_replaced_whoever_comes_first() {
    for policy in [Policy::Replace, Policy::KeepModified] {
        for first in 0..COPIERS {
            let mut volume = Volume::new();
            volume.options.policy = policy;
            volume.options.prune = Prune::Owned;
            volume.put("stays", "1");
            volume.put("top/one", "a file");
            std::os::unix::fs::symlink("one", volume.image("top/two")).unwrap();
            in_turn(&mut volume, first);
            for _ in 0..2 {
                for path in ["top/one", "top/two"] {
                    drop_path(&volume, path);
                    put_shared(&volume, path);
                }
                in_turn(&mut volume, first);
                assert_eq!(volume.read("top/two/inner/3/3"), "1");
                complete(&mut volume);
                // Types change places: a link to a directory, and a file.
                for path in ["top/one", "top/two"] {
                    drop_path(&volume, path);
                }
                volume.put("top/two", "a file");
                std::os::unix::fs::symlink("../stays", volume.image("top/one")).unwrap();
                let reports = in_turn(&mut volume, first);
                assert_eq!((volume.read("top/two"), volume.read("top/one")), ("a file".into(), "1".into()));
                assert!(reports.iter().all(|r| r.remarks.iter().all(|r| !r.contains("other content"))));
                assert_eq!(sum(&reports, |r| r.conflicts.len()), 0, "{policy}: nobody changed anything");
                complete(&mut volume);
            }
        }
    }
}

#[test]
fn what_a_user_put_where_a_shared_directory_goes_is_treated_as_by_one_copier() {
    for first in 0..COPIERS {
        for policy in [Policy::Replace, Policy::KeepModified, Policy::Missing] {
            let mut volume = Volume::new();
            put_shared(&volume, "top");
            volume.options.policy = policy;
            volume.edit("top", "the user's");
            let reports = in_turn(&mut volume, first);
            match policy {
                Policy::Replace => assert_eq!(volume.read("top/inner/3/3"), "1"),
                Policy::KeepModified => {
                    assert_eq!(sum(&reports, |r| r.conflicts.len()), 1);
                    assert_eq!(volume.read("top.from-image/inner/3/3"), "1");
                }
                Policy::Missing => assert!(!volume.has("top.from-image")),
            }
            if policy != Policy::Replace {
                assert_eq!(volume.read("top"), "the user's");
            }
            let again = in_turn(&mut volume, first);
            assert!(again.iter().all(|r| !r.changed()), "{policy}");
        }
        // So is a link that nobody installed.
        let mut volume = Volume::new();
        put_shared(&volume, "top");
        std::os::unix::fs::symlink("/nowhere", volume.at("top")).unwrap();
        in_turn(&mut volume, first);
        assert_eq!(volume.read("top/inner/3/3"), "1");
        assert_eq!(std::fs::read_link(volume.at("top.from-volume")).unwrap(), Path::new("/nowhere"));
    }
}

#[test]
fn a_shared_directory_has_its_mode_whoever_makes_it() {
    use std::os::unix::fs::PermissionsExt;
    for policy in [Policy::Replace, Policy::KeepModified] {
        for first in 0..COPIERS {
            let mut volume = mixed();
            put_shared(&volume, "top");
            for (path, mode) in [("shared", 0o1770), ("many", 0o555), ("top", 0o2755), ("top/inner", 0o500)] {
                std::fs::set_permissions(volume.image(path), PermissionsExt::from_mode(mode)).unwrap();
            }
            volume.options.policy = policy;
            in_turn(&mut volume, first);
            for path in ["shared", "many", "top", "top/inner"] {
                let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
                assert_eq!(mode(&volume.at(path)), mode(&volume.image(path)), "{policy}: {path}");
            }
            complete(&mut volume);
            // Otherwise an ordinary user cannot remove them.
            for path in ["many", "top/inner"] {
                for path in [volume.at(path), volume.image(path)] {
                    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_link_that_a_copy_installed_is_not_followed_where_the_administrators_are() {
    let mut volume = Volume::new();
    volume.options.follow_destination_links = true;
    volume.put("releases/1/file", "1");
    std::os::unix::fs::symlink("releases/1", volume.image("current")).unwrap();
    volume.copy();
    drop_path(&volume, "current");
    volume.put("current/file", "2");
    volume.copy();
    assert_eq!((volume.read("current/file"), volume.read("releases/1/file")), ("2".into(), "1".into()));
    assert!(!volume.at("current").symlink_metadata().unwrap().is_symlink());
    complete(&mut volume);
}

/// One copier of a release never finishes; then the next release is copied by a single copier, by as many of another
/// run, or by others of the same run.
#[test]
fn what_copiers_installed_whose_parts_were_never_put_together_is_no_users_change_and_is_pruned() {
    for (next, group) in [(None, "run"), (Some(COPIERS), "another"), (Some(3), "run"), (Some(COPIERS), "run")]
    {
        for cut in [None, Some(150)] {
            let case = format!("{next:?} of {group}, the last one cut after {cut:?}");
            let mut volume = mixed();
            volume.options.policy = Policy::KeepModified;
            volume.options.prune = Prune::Owned;
            volume.options.workers = std::num::NonZeroUsize::new(1);
            together(&mut volume);
            for n in 0..200 {
                volume.put(&format!("many/{n}"), "2");
                volume.put(&format!("shared/{}/{n}", n % 20), "2");
                volume.put(&format!("shared/only-2/{n}"), "2");
            }
            for n in 0..10 {
                volume.put(&format!("shared/beside-{n}"), "2");
                volume.put(&format!("shared/only-2-{n}"), "2");
            }
            for index in 0..COPIERS {
                volume.options.shard = Some(Shard { index, count: COPIERS });
                match cut {
                    _ if index < COPIERS - 1 => drop(volume.copy()),
                    Some(steps) => assert_eq!(cut::after(&mut volume, steps), None, "{case}"),
                    None => {}
                }
            }
            volume.edit("many/7", "the user's");
            volume.edit("shared/mine", "the user's");
            drop_path(&volume, "shared/only-2");
            for n in 0..10 {
                drop_path(&volume, &format!("shared/only-2-{n}"));
            }
            for n in 0..200 {
                drop_path(&volume, &format!("shared/{}/{n}", n % 20));
                volume.put(&format!("many/{n}"), "3");
            }
            for n in 0..60 {
                volume.put(&format!("shared/{}/{n}", n % 20), "3");
            }
            volume.group = group.into();
            let copiers = 0..next.unwrap_or(1);
            let outcomes = copiers.map(|index| {
                volume.options.shard = next.map(|count| Shard { index, count });
                copy(&volume.request(), &Silent, &CancellationToken::new())
            });
            // In the same run all but the last fail, because the others' parts are of the earlier image.
            let reports = outcomes.filter_map(|outcome| {
                let apart = |error: &Error| error.to_string().contains("copied another image");
                outcome.inspect_err(|error| assert!(apart(error), "{case}: {error}")).ok()
            });
            let reports: Vec<_> = reports.collect();
            volume.options.shard = None;
            let conflicts: Vec<_> = reports.iter().flat_map(|report| &report.conflicts.items).collect();
            assert!(conflicts.iter().all(|path| **path == "many/7"), "{case}: {conflicts:?}");
            assert_eq!(volume.read("many/7"), "the user's", "{case}");
            assert_eq!(volume.read("many/7.from-image"), "3", "{case}");
            assert_eq!(volume.read("shared/mine"), "the user's", "{case}");
            for n in 0..200 {
                let path = format!("shared/{}/{n}", n % 20);
                assert_eq!(
                    volume.has(&path).then(|| volume.read(&path)),
                    (n < 60).then(|| "3".into()),
                    "{case}: {path}"
                );
                for path in [format!("shared/only-2-{}", n % 10), format!("shared/only-2/{n}")] {
                    assert!(!volume.has(&path), "{case}: {path}");
                }
            }
            complete(&mut volume);
            let left = std::fs::read_dir(volume.at(".hook-runner/manifests")).unwrap().flatten();
            let left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
            assert!(!left.iter().any(|name| name.contains("part")), "{case}: {left:?}");
        }
    }
}
