//! A source that is one file, copied to a name of the destination.

use std::path::Path;
use std::process::{Command, Output};

use crate::needs;
use crate::support::harness::PROGRAM;

fn program(at: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(at).output().unwrap()
}

#[track_caller]
fn succeed(at: &Path, arguments: &[&str]) -> Output {
    let output = program(at, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

/// The names in the destination, sorted, without the runner's own.
fn names(at: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(at.join("d")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != ".hook-runner").collect();
    names.sort();
    names
}

#[test]
fn one_file_copied_to_two_names_is_there_under_both_and_no_copy_takes_it_from_the_other() {
    for options in
        ["--prune none", "--prune owned", "--policy keep-modified --prune all", "--owner conf --prune owned"]
    {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path();
        std::fs::create_dir(at.join("a")).unwrap();
        for content in ["first", "second", "second"] {
            std::fs::write(at.join("a/conf"), content).unwrap();
            let mut run = vec!["run", "--log", "none", "--copy", "a/conf:d/one", "--copy", "a/conf:d/two"];
            run.extend(options.split(' '));
            run.extend(["--", "true"]);
            succeed(at, &run);
            assert_eq!(names(at), ["one", "two"], "{options}, {content}");
            for name in ["one", "two"] {
                let there = std::fs::read_to_string(at.join("d").join(name)).unwrap();
                assert_eq!(there, content, "{options}: {name}");
            }
            succeed(at, &["verify", "d"]);
        }
    }
}

#[test]
fn a_file_is_copied_to_a_second_name_though_its_version_is_that_of_the_first() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    std::fs::create_dir(at.join("a")).unwrap();
    std::fs::write(at.join("a/conf"), "content").unwrap();
    for name in ["one", "two"] {
        succeed(at, &["copy", "a/conf", &format!("d/{name}"), "--source-version", "v1"]);
    }
    assert_eq!(names(at), ["one", "two"]);
}

#[test]
fn a_copy_that_was_killed_is_not_pruned_by_that_of_the_same_file_to_another_name() {
    needs!(Program("strace"));
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    std::fs::create_dir(at.join("a")).unwrap();
    std::fs::write(at.join("a/conf"), "content").unwrap();
    std::fs::create_dir(at.join("d")).unwrap();
    // Once the file has its name, before the manifest is in force: strace(1) counts the calls of each thread apart.
    let killed = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "inject=renameat,renameat2:signal=KILL:when=2", PROGRAM])
        .args(["copy", "a/conf", "d/one"])
        .current_dir(at)
        .output()
        .unwrap();
    assert!(!killed.status.success(), "{killed:?}");
    assert_eq!(names(at), ["one"]);
    succeed(at, &["copy", "a/conf", "d/two", "--prune", "owned"]);
    assert_eq!(names(at), ["one", "two"]);
}

/// Status 78, with these words, and nothing made or changed in the destination.
#[track_caller]
fn refused(at: &Path, arguments: &[&str], words: &str) {
    let before = names(at);
    let output = program(at, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(78) && said.contains(words), "{arguments:?}: {output:?}");
    assert_eq!(names(at), before, "{arguments:?}");
}

#[test]
fn a_name_that_no_copy_may_have_is_refused_before_anything_is_made() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    std::fs::create_dir_all(at.join("a")).unwrap();
    std::fs::write(at.join("a/conf"), "content").unwrap();
    succeed(at, &["run", "--log", "d/log", "--", "true"]);
    for name in ["lost+found", ".hook-runner", "log"] {
        let to = format!("d/{name}");
        refused(at, &["copy", "a/conf", &to], "hook-runner");
        let copy = format!("a/conf:{to}");
        refused(at, &["run", "--log", "none", "--copy", &copy, "--", "true"], "hook-runner");
    }
    // The default log's name, also where no run has made one yet: a second copy would find it taken for one.
    std::fs::remove_dir_all(at.join("d")).unwrap();
    std::fs::create_dir(at.join("d")).unwrap();
    refused(at, &["copy", "a/conf", "d/post-hook-output.txt"], "hook-runner");
    refused(at, &["run", "--log", "d/new", "--copy", "a/conf:d/new", "--", "true"], "is the preserved log");
}

#[test]
fn two_sources_of_one_owner_for_one_destination_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    for name in ["a", "b", "d"] {
        std::fs::create_dir(at.join(name)).unwrap();
        std::fs::write(at.join(name).join(name), name).unwrap();
    }
    let run = ["run", "--log", "none", "--owner", "app", "--prune", "owned", "--copy", "a:d", "--copy"];
    refused(at, &[&run[..], &["b:./d", "--", "true"]].concat(), "under the owner app");
    succeed(at, &[&run[..], &["b:d/other", "--copy", "a:d", "--", "true"]].concat());
    assert_eq!(std::fs::read_to_string(at.join("d/a")).unwrap(), "a");
    assert_eq!(std::fs::read_to_string(at.join("d/other/b")).unwrap(), "b");
}

/// By the table of docs/guarantees.md: the only file that is gone was deleted; of several that are all gone the volume was emptied.
#[test]
fn the_only_file_that_a_user_deleted_stays_deleted_and_an_emptied_volume_is_filled() {
    for (source, to) in [("a/conf", "d/conf"), ("a", "d")] {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path();
        std::fs::create_dir(at.join("a")).unwrap();
        std::fs::write(at.join("a/conf"), "1").unwrap();
        let copy = ["copy", source, to, "--policy", "keep-modified"];
        succeed(at, &copy);
        std::fs::remove_file(at.join("d/conf")).unwrap();
        for _ in 0..2 {
            let said = String::from_utf8(succeed(at, &copy).stderr).unwrap();
            assert!(names(at).is_empty() && !said.contains("nothing of the last copy"), "{source}: {said}");
        }
        let run = ["run", "--log", "none", "--copy", &format!("{source}:{to}"), "--", "true"];
        succeed(at, &[&run[..3], &["--policy", "keep-modified"], &run[3..]].concat());
        assert!(names(at).is_empty(), "{source}: after a run");
        succeed(at, &["copy", source, to]);
        assert_eq!(names(at), ["conf"], "{source}: with replace");
        if source == "a" {
            // A user's file where the image has a directory was never this copy's.
            std::fs::create_dir(at.join("a/dir")).unwrap();
            std::fs::write(at.join("d/dir"), "user's").unwrap();
            succeed(at, &copy);
            std::fs::remove_file(at.join("d/conf")).unwrap();
            succeed(at, &copy);
            assert!(!at.join("d/conf").exists(), "beside a user's file");
            std::fs::remove_file(at.join("d/dir")).unwrap();
            std::fs::remove_dir(at.join("a/dir")).unwrap();
            succeed(at, &["copy", source, to, "--prune", "all"]);
            std::fs::write(at.join("a/second"), "2").unwrap();
            succeed(at, &copy);
            for name in ["conf", "second"] {
                std::fs::remove_file(at.join("d").join(name)).unwrap();
            }
            let said = String::from_utf8(succeed(at, &copy).stderr).unwrap();
            assert!(said.contains("nothing of the last copy is left on the volume"), "{said}");
            assert_eq!(names(at), ["conf", "second"]);
        }
    }
}
