//! Policies, pruning and options over several releases.

use super::*;

/// The edit of the reference hook.
fn sed(volume: &Volume) {
    let status = std::process::Command::new("sed")
        .args(["-i", "s/vs/or/g"])
        .arg(volume.at("templates/index.html"))
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn what_the_runs_own_command_edits_is_not_taken_for_a_users_change() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    for release in ["cats vs dogs", "tabs vs spaces", "tea vs coffee"] {
        volume.put("templates/index.html", release);
        let report = volume.copy();
        assert!(report.conflicts.is_empty(), "{release}: {}", report.summary());
        sed(&volume);
        volume.seal();
        assert_eq!(volume.read("templates/index.html"), release.replace("vs", "or"));
        assert!(verify(&volume.at(""), None).unwrap().is_clean());
    }
    // A later change by a user counts as one.
    volume.edit("templates/index.html", "mine");
    volume.put("templates/index.html", "left vs right");
    let report = volume.copy();
    assert_eq!(report.conflicts.items, ["templates/index.html"]);
    assert_eq!(volume.read("templates/index.html"), "mine");
    assert_eq!(volume.read("templates/index.html.from-image"), "left vs right");
    volume.seal();
    let report = volume.copy();
    assert!(!report.changed(), "{}", report.summary());
    volume.put("templates/index.html", "up vs down");
    volume.copy();
    assert_eq!(volume.read("templates/index.html"), "mine", "sealing must not take it for the run's");
}

#[test]
fn beside_a_run_at_work_its_edits_are_left() {
    let mut volume = Volume::new();
    volume.put("templates/index.html", "cats vs dogs");
    volume.put("other", "x");
    volume.copy();
    sed(&volume);
    let mut request = volume.request();
    request.beside_run = true;
    let report = copy(&request, &Silent, &CancellationToken::new()).unwrap();
    assert!(!report.changed(), "{}", report.summary());
    assert_eq!(volume.read("templates/index.html"), "cats or dogs");
    assert_eq!(volume.copy().files, 1);
    assert_eq!(volume.read("templates/index.html"), "cats vs dogs");
}

#[test]
fn pruning_removes_what_was_installed_and_nobody_changed() {
    for (prune, left) in [
        (Prune::None, &["changed", "dropped", "mine", "old/deep/file", "old/mine"][..]),
        (Prune::Owned, &["changed", "mine", "old/mine"]),
        (Prune::All, &[]),
    ] {
        let mut volume = Volume::new();
        volume.edit("mine", "u");
        for path in ["stays", "changed", "dropped", "old/deep/file"] {
            volume.put(path, "1");
        }
        volume.copy();
        volume.edit("changed", "2");
        volume.edit("old/mine", "u");
        for path in ["changed", "dropped"] {
            std::fs::remove_file(volume.image(path)).unwrap();
        }
        std::fs::remove_dir_all(volume.image("old")).unwrap();
        volume.options.prune = prune;
        volume.options.dry_run = true;
        let planned = volume.copy();
        assert!(volume.has("dropped"));
        volume.options.dry_run = false;
        let report = volume.copy();
        if prune == Prune::Owned {
            assert_eq!(planned.plan.items, ["remove dropped", "remove old/deep", "remove old/deep/file"]);
            assert_eq!(planned.removed, report.removed);
        }
        for path in ["changed", "dropped", "mine", "old/deep/file", "old/mine"] {
            assert_eq!(volume.has(path), left.contains(&path), "{prune}: {path}");
        }
        assert!(volume.has("stays"));
        assert!(volume.has(".hook-runner"));
        if prune == Prune::All {
            assert!(planned.plan.items.contains(&"remove mine".to_owned()) && report.removed > 0);
        }
        assert!(!volume.copy().changed());
    }
}

#[test]
fn what_is_back_after_a_release_without_it_is_installed_again() {
    let mut volume = Volume::new();
    volume.options.prune = Prune::Owned;
    volume.put("a/b", "1");
    volume.put("c", "1");
    volume.copy();
    std::fs::remove_dir_all(volume.image("a")).unwrap();
    assert_eq!(volume.copy().removed, 2);
    volume.put("a/b", "1");
    assert_eq!(volume.copy().files, 1);
    assert_eq!(volume.read("a/b"), "1");
}

#[test]
fn a_volume_that_was_emptied_is_filled_again() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    volume.put("a/b", "1");
    volume.put("c", "1");
    volume.copy();
    std::fs::remove_dir_all(volume.at("a")).unwrap();
    assert!(!volume.copy().changed(), "one directory removed is the user's wish");
    assert!(!volume.has("a"));
    std::fs::remove_file(volume.at("c")).unwrap();
    let report = volume.copy();
    assert_eq!(report.files, 2, "{}", report.summary());
    assert_eq!(volume.read("a/b"), "1");
}

#[test]
fn an_edit_of_one_size_and_mtime_that_was_kept_is_replaced_where_that_is_asked_for() {
    for kept_by in [Policy::Missing, Policy::KeepModified] {
        let mut volume = Volume::new();
        volume.put("f", "image");
        volume.copy();
        volume.edit("f", "USERS");
        let file = std::fs::File::options().write(true).open(volume.at("f")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
        volume.options.policy = kept_by;
        for name in ["one", "two"] {
            volume.put(name, "new, so that there is a new manifest");
            volume.copy();
            assert_eq!(volume.read("f"), "USERS", "{kept_by}");
        }
        volume.options.policy = Policy::Replace;
        volume.copy();
        assert_eq!(volume.read("f"), "image", "{kept_by}");
    }
}

#[test]
fn the_runners_own_files_and_those_of_the_filesystem_are_left_alone() {
    let mut volume = Volume::new();
    for path in ["post-hook-output.txt", ".hook-runner/lock", "lost+found/x", "app"] {
        volume.put(path, "image");
    }
    volume.edit("post-hook-output.txt", "log");
    volume.edit("lost+found/inode", "fs");
    volume.options.prune = Prune::All;
    let mut request = volume.request();
    request.protect = vec![volume.at("post-hook-output.txt"), volume.at("nested")];
    volume.edit("nested/x", "other destination");
    copy(&request, &Silent, &CancellationToken::new()).unwrap();
    assert_eq!(volume.read("post-hook-output.txt"), "log");
    assert_eq!(volume.read("lost+found/inode"), "fs");
    assert_eq!(volume.read("nested/x"), "other destination");
    assert!(volume.has("app") && !volume.has("lost+found/x") && !volume.has(".hook-runner/lock"));
}

#[test]
fn filters_and_mode_changes_apply_and_what_is_excluded_is_not_pruned() {
    use std::os::unix::fs::PermissionsExt;
    let mut volume = Volume::new();
    volume.put("app/main.py", "1");
    volume.put("app/__pycache__/main.pyc", "1");
    volume.put("docs/readme", "1");
    volume.copy();
    volume.options.exclude = vec!["**/__pycache__".into()];
    volume.options.prune = Prune::Owned;
    volume.options.chmod = Some("go-rwx".parse().unwrap());
    let report = volume.copy();
    assert_eq!((report.files, report.removed), (0, 0), "{}", report.summary());
    let mode = |path: &str| volume.at(path).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("app"), mode("app/main.py")), (0o700, 0o600));
    assert!(volume.has("app/__pycache__/main.pyc"));
    let mut fresh = Volume::new();
    fresh.put("app/main.py", "1");
    fresh.put("docs/readme", "1");
    fresh.options.include = vec!["*.py".into()];
    fresh.copy();
    assert!(fresh.has("app/main.py") && !fresh.has("docs"));
}

#[test]
fn a_dry_run_lists_what_would_change_and_changes_nothing() {
    let mut volume = Volume::new();
    volume.put("new/file", "1");
    volume.put("changed", "2");
    volume.edit("changed", "1");
    volume.options.dry_run = true;
    let report = volume.copy();
    assert_eq!(report.plan.items, ["create new/", "create new/file", "replace changed"]);
    assert_eq!(volume.read("changed"), "1");
    assert!(!volume.has("new") && !volume.has(".hook-runner"));
}

#[test]
fn a_request_that_contradicts_itself_is_refused_before_anything_is_done() {
    let mut volume = Volume::new();
    volume.put("a", "1");
    let cancel = CancellationToken::new();
    let refused = |request: &Request| {
        let error = copy(request, &Silent, &cancel).unwrap_err();
        assert_eq!(error.cause(), Cause::Config, "{error}");
        error.to_string()
    };
    let request = volume.request();
    assert!(refused(&Request { source: volume.image("none"), ..request.clone() }).contains("none"));
    refused(&Request { source: volume.image("a"), ..request.clone() });
    assert!(refused(&Request { destination: volume.image("sub"), ..request.clone() }).contains("inside"));
    refused(&Request { destination: volume.image("a"), ..request.clone() });
    cancel.cancel();
    assert_eq!(copy(&request, &Silent, &cancel).unwrap_err().cause(), Cause::Cancelled);
    assert!(!volume.has("a"));
}

/// A file that looks as left but is not: an editor or rsync(1) may restore the old time.
#[test]
fn an_edit_of_the_same_size_and_mtime_is_kept_when_the_image_changes() {
    let mut volume = Volume::new();
    volume.options.policy = Policy::KeepModified;
    volume.put("config", "image 1");
    volume.copy();
    let time = volume.at("config").metadata().unwrap().modified().unwrap();
    volume.edit("config", "my edit");
    std::fs::File::options().write(true).open(volume.at("config")).unwrap().set_modified(time).unwrap();
    volume.put("config", "image 2");
    let report = volume.copy();
    assert_eq!(report.conflicts.items, ["config"]);
    assert_eq!(volume.read("config"), "my edit");
    assert_eq!(volume.read("config.from-image"), "image 2");
}

#[test]
fn a_directory_with_a_users_file_is_put_aside_though_the_image_had_the_same_file() {
    let mut volume = Volume::new();
    volume.put("conf/file", "same");
    volume.put("conf/other", "image");
    volume.edit("conf/file", "same");
    volume.copy();
    std::fs::remove_dir_all(volume.image("conf")).unwrap();
    volume.put("conf", "now a file");
    let report = volume.copy();
    assert_eq!(volume.read("conf"), "now a file");
    assert_eq!(volume.read("conf.from-volume/file"), "same", "{:?}", report.remarks);
}

/// The log and the state directory may be missing when content is copied, and nobody may remove them.
#[test]
fn the_places_of_the_runners_own_files_are_kept_free_and_never_pruned() {
    for there in [false, true] {
        let mut volume = Volume::new();
        volume.put("logs/run.txt", "image");
        volume.put("app", "image");
        std::fs::create_dir(volume.at("logs")).unwrap();
        if there {
            // Installed before it became the log's place, and dropped since.
            volume.copy();
            std::fs::remove_dir_all(volume.image("logs")).unwrap();
        }
        let mut request = volume.request();
        request.protect = vec![volume.at("logs/run.txt")];
        let copy_as = |prune, request: &mut Request| {
            request.options.prune = prune;
            copy(request, &Silent, &CancellationToken::new()).unwrap();
        };
        copy_as(Prune::Owned, &mut request);
        assert_eq!(volume.has("logs/run.txt"), there);
        let _ = std::fs::remove_dir_all(volume.image("logs"));
        volume.edit("logs/run.txt", "the log");
        copy_as(Prune::All, &mut request);
        assert_eq!(volume.read("logs/run.txt"), "the log");
    }
}
