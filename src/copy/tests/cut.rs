//! Copies that are interrupted after each of their steps in turn: nothing that they installed is taken for a user's
//! change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Copies, interrupting the copy after this many steps. Returns the number of steps if the copy finished.
pub(super) fn after(volume: &mut Volume, most: usize) -> Option<usize> {
    let steps = Arc::new(AtomicUsize::new(most));
    let mut request = volume.request();
    request.steps = Some(steps.clone());
    let outcome = copy(&request, &Silent, &CancellationToken::new());
    let left = steps.load(Ordering::SeqCst);
    match outcome {
        Ok(_) => Some(most - left),
        Err(error) => {
            assert_eq!((error.cause(), left), (Cause::Cancelled, 0), "{error}");
            None
        }
    }
}

const FILES: [&str; 5] = ["a", "b", "c", "sub/d", "sub/e"];

/// Makes the image release `n`; all files keep one size and mtime.
fn release(volume: &Volume, n: &str) {
    std::fs::remove_dir_all(volume.image("")).unwrap();
    std::fs::create_dir(volume.image("")).unwrap();
    for path in FILES {
        volume.put(path, n);
    }
    volume.put(&format!("only-{n}/deep/file"), n);
    volume.put(&format!("sub/only-{n}"), n);
    std::os::unix::fs::symlink(n, volume.image("link")).unwrap();
}

#[test]
fn what_different_releases_cut_short_one_after_another_installed_is_no_users_change() {
    let mut seen = BTreeSet::new();
    for (from_end_2, from_end_3) in [(1, 1), (1, 6), (1, 9), (6, 1), (6, 9), (9, 6)] {
        for next in ["1", "2", "4"] {
            let case = format!("-{from_end_2}, -{from_end_3}, then {next}");
            let mut volume = Volume::new();
            volume.options.workers = std::num::NonZeroUsize::new(1);
            volume.options.policy = Policy::KeepModified;
            release(&volume, "1");
            let first = after(&mut volume, usize::MAX).unwrap();
            release(&volume, "2");
            assert_eq!(after(&mut volume, first - from_end_2), None, "{case}");
            release(&volume, "3");
            assert_eq!(after(&mut volume, first - from_end_3), None, "{case}");
            seen.insert(FILES.map(|path| volume.read(path)).into_iter().collect::<BTreeSet<_>>());
            release(&volume, next);
            volume.options.prune = Prune::Owned;
            let report = volume.copy();
            assert!(report.conflicts.is_empty() && report.kept == 0, "{case}: {}", report.summary());
            for path in FILES {
                assert_eq!(volume.read(path), next, "{case}: {path}");
            }
            for n in ["1", "2", "3", "4"] {
                for path in [format!("only-{n}"), format!("sub/only-{n}")] {
                    assert_eq!(volume.has(&path), n == next, "{case}: {path}");
                }
            }
            let again = volume.copy();
            assert!(!again.changed(), "{case}: {}", again.summary());
            assert!(verify(&volume.at(""), None).unwrap().is_clean(), "{case}");
            let left: Vec<_> = std::fs::read_dir(volume.at(".hook-runner/manifests")).unwrap().collect();
            assert_eq!(left.len(), 1, "{case}: {left:?}");
        }
    }
    assert!(
        seen.contains(&["1", "2", "3"].map(str::to_owned).into()),
        "no volume had files of all three: {seen:?}"
    );
}

#[test]
fn what_a_copy_cut_short_had_pruned_is_no_users_removal() {
    for from_end in 0..8 {
        for between in [None, Some("3")] {
            let case = format!("-{from_end}, then {between:?}");
            let mut volume = Volume::new();
            volume.options.workers = std::num::NonZeroUsize::new(1);
            volume.options.policy = Policy::KeepModified;
            volume.options.prune = Prune::Owned;
            release(&volume, "1");
            std::fs::create_dir(volume.image("only-1/empty")).unwrap();
            volume.copy();
            let manifest = std::fs::read(volume.at(".hook-runner/manifests/image")).unwrap();
            // As many steps as an uninterrupted copy takes.
            let kept = volume.temp.path().join("kept");
            let cp = |from: &Path, to: &Path| {
                assert!(
                    std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success()
                );
            };
            cp(&volume.at(""), &kept);
            release(&volume, "2");
            let steps = after(&mut volume, usize::MAX).unwrap();
            std::fs::remove_dir_all(volume.at("")).unwrap();
            cp(&kept, &volume.at(""));
            assert_eq!(after(&mut volume, steps - 1 - from_end), None, "{case}");
            assert_eq!(std::fs::read(volume.at(".hook-runner/manifests/image")).unwrap(), manifest, "{case}");
            if let Some(n) = between {
                release(&volume, n);
                assert_eq!(after(&mut volume, steps - 12), None, "{case}");
            }
            release(&volume, "1");
            std::fs::create_dir(volume.image("only-1/empty")).unwrap();
            let report = volume.copy();
            assert!(report.conflicts.is_empty() && report.kept == 0, "{case}: {}", report.summary());
            for path in FILES.into_iter().chain(["only-1/deep/file", "sub/only-1"]) {
                assert!(volume.has(path) && volume.read(path) == "1", "{case}: {path}");
            }
            assert!(volume.has("only-1/empty"), "{case}");
            let again = volume.copy();
            assert!(!again.changed(), "{case}: {}", again.summary());
        }
    }
}

#[test]
fn staging_of_another_number_of_shards_goes_with_the_next_copy() {
    let shard = |index, count| Some(Shard { index, count });
    for (cut_short, next) in [
        (shard(1, 3), vec![None]),
        (shard(1, 3), vec![shard(0, 2), shard(1, 2)]),
        (None, vec![shard(1, 2), shard(0, 2)]),
    ] {
        let mut volume = Volume::new();
        for n in 0..12 {
            volume.put(&format!("f{n}"), "1");
        }
        volume.options.shard = cut_short;
        let staged =
            |volume: &Volume| std::fs::read_dir(volume.at(".hook-runner/stage")).map_or(0, Iterator::count);
        for steps in 1.. {
            assert_eq!(after(&mut volume, steps), None, "{cut_short:?}: over before anything was staged");
            if staged(&volume) > 0 {
                break;
            }
        }
        for shard in &next {
            volume.options.shard = *shard;
            copy(&volume.request(), &Silent, &CancellationToken::new()).unwrap();
        }
        assert_eq!(staged(&volume), 0, "{cut_short:?}, then {next:?}");
    }
}
