//! Who made a change, and which of several copies has a name.

use super::*;

/// A copy from `source` by a request of its own; `later` as in a run.
fn request(volume: &mut Volume, source: &str, later: Option<&[&str]>) -> Request {
    let mut request = volume.request();
    request.source = volume.temp.path().join(source);
    request.options.owner = Some(source.into());
    request.later = later.map(|names| names.iter().map(|name| name.as_bytes().to_vec()).collect());
    request
}

fn done(request: &Request) -> Report {
    copy(request, &Silent, &CancellationToken::new()).unwrap()
}

fn put(volume: &Volume, path: &str, content: &str) {
    write(&volume.temp.path().join(path), content);
}

#[test]
fn what_a_user_removed_or_edited_before_a_run_is_not_the_runs_whoever_installed_it() {
    let mut volume = Volume::new();
    put(&volume, "a/removed", "1");
    put(&volume, "a/edited", "2");
    put(&volume, "a/runs", "3");
    put(&volume, "b/other", "4");
    done(&request(&mut volume, "a", None));
    std::fs::remove_file(volume.at("removed")).unwrap();
    volume.edit("edited", "user");
    let run = request(&mut volume, "b", None);
    done(&run);
    // The first attempt fails, the second ends well.
    drop(begin_run(&run, std::slice::from_ref(&run)).unwrap());
    volume.edit("runs", "edited by the run");
    drop(begin_run(&run, std::slice::from_ref(&run)).unwrap());
    seal(&run, Ended::Well).unwrap();
    let found = verify(&volume.at(""), None).unwrap();
    assert_eq!(found.users.items, ["edited", "removed"]);
    let next = done(&request(&mut volume, "a", None));
    assert_eq!((next.files, next.unchanged), (2, 1), "{}", next.summary());
    let now = ["removed", "edited", "runs"].map(|path| volume.read(path));
    assert_eq!(now, ["1", "2", "edited by the run"]);
}

#[test]
fn an_emptied_volume_is_filled_again_after_a_run_that_another_copy_belongs_to() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    for name in ["a/one", "a/two"] {
        put(&volume, name, "1");
    }
    put(&volume, "b/other", "4");
    done(&request(&mut volume, "a", None));
    for name in ["one", "two"] {
        std::fs::remove_file(volume.at(name)).unwrap();
    }
    let run = request(&mut volume, "b", None);
    done(&run);
    drop(begin_run(&run, std::slice::from_ref(&run)).unwrap());
    seal(&run, Ended::Well).unwrap();
    done(&request(&mut volume, "a", None));
    assert_eq!(volume.read("one") + &volume.read("two"), "11");
}

#[test]
fn under_missing_what_a_failed_run_left_is_kept_and_verify_calls_it_so() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::Missing;
    volume.put("b", "image");
    volume.copy();
    drop(begin_run(&volume.request(), &[]).unwrap());
    volume.edit("b", "half");
    assert_eq!(volume.copy().kept, 1);
    let found = verify(&volume.at(""), None).unwrap();
    assert!(found.is_clean() && found.users.items == ["b"], "{}", found.summary());
}

#[test]
fn in_a_run_the_order_of_its_copies_decides_and_what_is_left_to_another_is_told() {
    let mut volume = Volume::new();
    put(&volume, "old/page", "v1");
    put(&volume, "new/page", "v2");
    done(&request(&mut volume, "old", Some(&[])));
    done(&request(&mut volume, "new", Some(&[])));
    assert_eq!(volume.read("page"), "v2");
    // A single copy, as after a pod's restart, leaves it to the later one and says so.
    let left = done(&request(&mut volume, "old", None));
    assert_eq!(left.left_to_others.items, ["page"]);
    assert_eq!(volume.read("page"), "v2");
    // A rollback: this run has no other copy.
    done(&request(&mut volume, "old", Some(&[])));
    assert_eq!(volume.read("page"), "v1");
    for _ in 0..2 {
        assert!(!done(&request(&mut volume, "old", Some(&["new"]))).changed(), "new comes after it");
        done(&request(&mut volume, "new", Some(&[])));
        assert_eq!(volume.read("page"), "v2");
    }
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
}

#[test]
fn what_a_later_copy_drops_goes_back_to_the_one_that_has_it() {
    let mut volume = Volume::new();
    volume.options.prune = Prune::Owned;
    put(&volume, "a/x", "from a");
    put(&volume, "b/x", "from b");
    put(&volume, "b/z", "so that b is not empty");
    done(&request(&mut volume, "a", Some(&["b"])));
    done(&request(&mut volume, "b", Some(&[])));
    std::fs::remove_file(volume.temp.path().join("b/x")).unwrap();
    done(&request(&mut volume, "a", Some(&["b"])));
    assert_eq!(done(&request(&mut volume, "b", Some(&[]))).given_back.items, ["x"]);
    done(&request(&mut volume, "a", Some(&["b"])));
    assert_eq!(volume.read("x"), "from a");
}

/// The copy that has the name now replaces a user's edit in the same run, or records that it is the user's: at the end of the
/// run it would be taken for the run's.
#[test]
fn what_a_user_edited_and_a_later_copy_drops_goes_back_too() {
    let prunes = [Prune::Owned, Prune::None];
    for (policy, prune) in
        [Policy::Replace, Policy::KeepModified].into_iter().flat_map(|p| prunes.map(|q| (p, q)))
    {
        let mut volume = Volume::new();
        (volume.options.prune, volume.options.policy) = (prune, policy);
        for (path, from_a, from_b) in
            [("x", "from a", "from b"), ("dir/x", "from a", "from b"), ("same", "1", "1")]
        {
            put(&volume, &format!("a/{path}"), from_a);
            put(&volume, &format!("b/{path}"), from_b);
        }
        put(&volume, "b/z", "so that b is not empty");
        done(&request(&mut volume, "a", Some(&["b"])));
        done(&request(&mut volume, "b", Some(&[])));
        for path in ["x", "dir/x", "same"] {
            std::fs::remove_file(volume.temp.path().join("b").join(path)).unwrap();
            volume.edit(path, "user");
        }
        std::fs::remove_dir(volume.temp.path().join("b/dir")).unwrap();
        done(&request(&mut volume, "a", Some(&["b"])));
        let mut given_back = done(&request(&mut volume, "b", Some(&[]))).given_back.items;
        given_back.sort_unstable();
        assert_eq!(given_back, ["dir/x", "same", "x"], "{policy} {prune}");
        let again = done(&request(&mut volume, "a", Some(&["b"])));
        assert_eq!(again.kept, if policy == Policy::Replace { 0 } else { 3 }, "{policy} {prune}: {again:?}");
        volume.seal();
        put(&volume, "a/x", "from the next a");
        for _ in 0..2 {
            done(&request(&mut volume, "a", Some(&["b"])));
            assert!(done(&request(&mut volume, "b", Some(&[]))).given_back.items.is_empty());
        }
        let [x, other] = if policy == Policy::Replace { ["from the next a", "from a"] } else { ["user"; 2] };
        assert_eq!((volume.read("x"), volume.read("dir/x")), (x.into(), other.into()), "{policy} {prune}");
    }
}

#[test]
fn verify_reports_nothing_that_a_copy_inside_the_destination_has() {
    let mut volume = Volume::new();
    put(&volume, "a/sub/x", "a");
    put(&volume, "b/x", "b");
    put(&volume, "b/y", "b");
    done(&request(&mut volume, "a", Some(&["b"])));
    let mut inside = request(&mut volume, "b", Some(&[]));
    inside.destination = volume.at("sub");
    done(&inside);
    let found = verify(&volume.at(""), None).unwrap();
    assert!(found.is_clean() && found.added.is_empty(), "{found:?}");
}

#[test]
fn what_a_user_edits_after_a_failed_run_is_kept_and_what_the_run_left_is_not() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    for name in ["users", "runs", "removed", "untouched"] {
        volume.put(name, "image");
    }
    volume.copy();
    let run = volume.request();
    drop(begin_run(&run, &[]).unwrap());
    volume.edit("runs", "half done");
    std::fs::remove_file(volume.at("removed")).unwrap();
    seal(&run, Ended::Failed).unwrap();
    volume.edit("users", "mended by hand");
    let mut retry = volume.request();
    retry.steps_follow = true;
    copy(&retry, &Silent, &CancellationToken::new()).unwrap();
    let now = ["users", "runs", "removed", "untouched"].map(|path| volume.read(path));
    assert_eq!(now, ["mended by hand", "image", "image", "image"]);
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
}

#[test]
fn what_a_run_at_work_has_edited_is_the_runs_whatever_copies_beside_it() {
    for policy in [Policy::Replace, Policy::KeepModified, Policy::Missing] {
        for next in ["1", "2"] {
            let mut volume = Volume::new();
            volume.put("edited", "1");
            volume.put("mine", "1");
            volume.copy();
            volume.edit("mine", "user's");
            let run = volume.request();
            let at_work = begin_run(&run, &[]).unwrap();
            volume.edit("edited", "by the run");
            volume.options.policy = policy;
            let beside = volume.copy();
            assert_eq!(volume.read("edited"), "by the run", "{policy}: {}", beside.summary());
            drop(at_work);
            seal(&run, Ended::Well).unwrap();
            // The same image leaves what the run has done; the next image is no conflict.
            volume.options.policy = Policy::KeepModified;
            volume.put("edited", next);
            let after = volume.copy();
            assert!(after.conflicts.is_empty(), "{policy}: {}", after.summary());
            assert_eq!(volume.read("edited"), if next == "1" { "by the run" } else { next }, "{policy}");
            assert_eq!(volume.read("mine"), "user's", "{policy}");
            volume.put("edited", "1");
        }
    }
}

#[test]
fn a_removed_file_stays_removed_beside_a_file_in_the_way_of_a_directory() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    volume.put("a", "1");
    std::fs::create_dir(volume.image("b")).unwrap();
    volume.edit("b", "user");
    for _ in 0..3 {
        volume.copy();
    }
    std::fs::remove_file(volume.at("a")).unwrap();
    for _ in 0..2 {
        let report = volume.copy();
        assert!(!volume.has("a"), "{}", report.summary());
    }
}

#[test]
fn an_edit_is_seen_after_a_copy_that_left_the_file_out_whatever_its_size_and_mtime() {
    for dropped in [false, true] {
        for policy in [Policy::Replace, Policy::KeepModified] {
            let case = format!("{policy}, dropped: {dropped}");
            let mut volume = Volume::new();
            volume.options.policy = policy;
            volume.put("f", "1");
            volume.put("d/f", "1");
            volume.put("other", "1");
            volume.copy();
            let old = volume.at("f").metadata().unwrap().modified().unwrap();
            for path in ["f", "d/f"] {
                let file = std::fs::File::options().write(true).open(volume.at(path)).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, b"X", 0).unwrap();
                file.set_modified(old).unwrap();
            }
            // The manifest comes into force after the edit, more than once.
            for n in ["2", "3"] {
                volume.options.exclude = if dropped { vec![] } else { vec!["f".into()] };
                for path in ["f", "d/f"].into_iter().filter(|_| dropped) {
                    let _ = std::fs::remove_file(volume.image(path));
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
                volume.put("other", n);
                volume.copy();
            }
            volume.options.exclude.clear();
            for path in ["f", "d/f"] {
                volume.put(path, "1");
            }
            let report = volume.copy();
            let (kept, now) = if policy == Policy::Replace { (0, "1") } else { (2, "X") };
            assert_eq!(report.kept, kept, "{case}: {}", report.summary());
            assert_eq!([volume.read("f"), volume.read("d/f")], [now, now], "{case}");
            // Nothing of it is left in the manifest.
            let manifest = std::fs::read_to_string(volume.at(".hook-runner/manifests/image")).unwrap();
            assert!(!manifest.contains("\ncompared "), "{case}: {manifest}");
        }
    }
}
