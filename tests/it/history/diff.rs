//! `diff`: what a release changed on the volume, held against what rsync(1) would have to do to make the same change.

use std::process::Command;

use faultfs::Fault;
use nix::libc;

use crate::needs;
use crate::support::faulty::Room;
use crate::support::harness::{Done, LOG, Test};

fn copy(test: Test, run: &str) -> Done {
    test.args([
        "run",
        "--run-id",
        run,
        "--copy",
        "app:data",
        "--prune",
        "owned",
        "--log",
        "logs/log.txt",
        "--",
        "true",
    ])
    .any_stderr()
    .run()
}

/// What rsync would itemize for making the destination as the source is, sorted. Of a file that changes it tells which
/// attributes do, which no list of changes knows: only the first three characters of such a line are compared.
fn rsync(test: &Done) -> Vec<String> {
    let output = Command::new("rsync")
        .args(["-a", "-i", "-n", "--checksum", "--delete", "--exclude=.hook-runner", "app/", "data/"])
        .current_dir(test.path("."))
        .output()
        .expect("rsync");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    sorted(&String::from_utf8(output.stdout).expect("text"))
}

fn sorted(text: &str) -> Vec<String> {
    // The root of the copy, and a directory whose mtime alone differs.
    let lines = text.lines().filter(|line| !line.ends_with(" ./") && !line.starts_with(".d"));
    let mut lines: Vec<String> = lines
        .map(|line| match line.split_once(' ') {
            Some((change, path)) if !change.ends_with('+') && !change.starts_with('*') => {
                format!("{} {path}", &change[..3])
            }
            _ => line.to_owned(),
        })
        .collect();
    lines.sort();
    lines
}

fn diff(done: Done, words: &[&str]) -> (Done, String) {
    let done = done.then().args(["diff"]).args(words).args(["--log", "logs"]).any_stdout().run();
    let printed = done.stdout.clone();
    (done, printed)
}

#[test]
fn each_release_is_told_as_rsync_would_have_made_it() {
    needs!(Program("rsync"));
    let test = Test::new()
        .file("app/index.html", "cats\n")
        .file("app/old.css", "h1 {}\n")
        .file("app/sub/deep/a.txt", "a\n")
        .file("app/gone/b.txt", "b\n")
        .file("data/users.txt", "a user's own\n");
    let done = test.args(["--version"]).any_stdout().run();
    std::os::unix::fs::symlink("index.html", done.path("app/link")).expect("a link");
    std::fs::remove_file(done.path("data/users.txt")).expect("removed");
    let first = rsync(&done);
    let done = copy(done.then(), "r1");
    let (done, printed) = diff(done, &[]);
    assert_eq!(sorted(&printed), first);

    std::fs::write(done.path("app/index.html"), "dogs, many of them\n").expect("written");
    std::fs::write(done.path("app/sub/new.txt"), "new\n").expect("written");
    std::fs::remove_file(done.path("app/old.css")).expect("removed");
    std::fs::remove_dir_all(done.path("app/gone")).expect("removed");
    let second = rsync(&done);
    let done = copy(done.then(), "r2");
    let done = copy(done.then(), "r3");
    let (done, printed) = diff(done, &["r2"]);
    assert_eq!(sorted(&printed), second);
    let (done, printed) = diff(done, &["r1", "r3"]);
    assert_eq!(sorted(&printed), second, "all runs after the first, up to the last");
    let (done, printed) = diff(done, &[]);
    assert_eq!(printed, "", "the last one changed nothing");
    let (_, printed) = diff(done, &["r1"]);
    assert_eq!(sorted(&printed), first);
}

#[test]
fn what_was_left_to_the_user_is_told_with_the_reason() {
    let test = Test::new().file("app/options.txt", "cats\n").file("app/index.html", "a\n");
    let keep = ["run", "--copy", "app:data", "--policy", "keep-modified", "--log", "logs/log.txt"];
    let done = test.args(keep).args(["--run-id", "r1", "--", "true"]).any_stderr().run();
    std::fs::write(done.path("data/options.txt"), "birds\n").expect("written");
    std::fs::write(done.path("app/options.txt"), "fish\n").expect("written");
    let done = done.then().args(keep).args(["--run-id", "r2", "--", "true"]).any_stderr().run();
    let (done, printed) = diff(done, &[]);
    assert_eq!(printed, "*conflict   options.txt (changed by the user and in the source)\n");
    let done = done.then().args(["diff", "r2", "--json", "--log", "logs"]).any_stdout().run();
    let entry: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(entry["schema"], 2);
    assert_eq!(entry["path"], "options.txt");
    assert_eq!(entry["action"], "conflict");
    assert_eq!(entry["kind"], "file");
}

/// Which of content, size, time, mode and owner changes, letter by letter.
#[test]
fn each_letter_is_that_of_rsync() {
    needs!(Program("rsync"), OtherUsers);
    let names =
        ["content", "size", "mode", "owner", "group", "time", "to-link", "to-directory", "all", "same"];
    let test = names.iter().fold(Test::new(), |test, name| test.file(&format!("app/{name}"), "1"));
    let done = test.file("app/dir/x", "1").file("app/owned/x", "1").args(["--version"]).any_stdout().run();
    let sh = |done: &Done, script: &str| {
        let status = Command::new("sh").args(["-ec", script]).current_dir(done.path(".")).status();
        assert!(status.expect("sh").success());
    };
    sh(&done, "ln -s a app/link; ln -s a app/owned-link");
    let done = copy(done.then(), "r1");
    sh(
        &done,
        "cd app; printf 2 >content; touch -r ../data/content content; printf 22 >size; chmod 600 mode; chown 5 owner; chgrp 6 group; \
         touch -d @99999999 time; rm to-link; ln -s x to-link; rm to-directory; mkdir to-directory; echo 333 >all; chmod 640 all; \
         chown 7:8 all; ln -sfn b link; chown -h 5:6 owned-link; chmod 700 dir; chown 5:6 owned; ln -s q new-link; mkdir new; echo n >new/n",
    );
    let whole = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().filter(|line| !line.ends_with(" ./")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let rsync = Command::new("rsync")
        .args(["-a", "-i", "-n", "--checksum", "--delete", "--exclude=.hook-runner"])
        // Times to the nanosecond: all is written within a second or two.
        .args(["--modify-window=-1", "app/", "data/"])
        .current_dir(done.path("."))
        .output()
        .expect("rsync");
    let done = copy(done.then(), "r2");
    let (_, printed) = diff(done, &[]);
    assert_eq!(whole(&printed), whole(&String::from_utf8(rsync.stdout).expect("text")));
}

/// Each reason is of what was changed since the last copy, by whom.
#[test]
fn each_change_is_told_with_its_own_reason() {
    let test = Test::new().file("app/f", "1").file("data/users", "own").file("app/users", "image");
    let run = |test: Test, id: &str, script: &str| {
        let run =
            ["run", "--copy", "app:data", "--log", "logs/log.txt", "--run-id", id, "--", "sh", "-c", script];
        test.args(run).any_stderr().run()
    };
    let told = |done: Done| {
        let done = done.then().args(["diff", "--json", "--log", "logs"]).any_stdout().run();
        let entry = |line| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        let words = |entry: serde_json::Value| {
            ["path", "action", "reason"]
                .map(|key| entry[key].as_str().unwrap_or_default().to_owned())
                .join(" ")
        };
        let lines: Vec<String> = done.stdout.lines().map(entry).map(words).collect();
        (done, lines)
    };
    let (done, lines) = told(run(test, "r1", "echo H >>data/f"));
    assert_eq!(lines, ["f installed new in the source", "users replaced new in the source"]);
    let (done, lines) = told(run(done.then(), "r2", "true"));
    assert_eq!(lines, ["f replaced changed by a run"]);
    let (done, lines) = told(run(done.then().file("app/f", "2"), "r3", "true"));
    assert_eq!(lines, ["f replaced changed in the source"]);
    let (done, lines) = told(run(done.then().file("data/f", "user"), "r4", "rm data/f"));
    assert_eq!(lines, ["f replaced changed on the volume"]);
    let (done, lines) = told(run(done.then(), "r5", "true"));
    assert_eq!(lines, ["f installed missing on the volume"]);
    let (_, lines) = told(run(done.then().file("data/f", "user").file("app/f", "3"), "r6", "true"));
    assert_eq!(lines, ["f replaced changed in the source and on the volume"]);
}

#[test]
fn a_run_that_is_unknown_copied_nothing_or_stands_in_the_wrong_order_is_told() {
    let done = copy(Test::new().file("app/a", "a\n"), "r1");
    let done = copy(done.then(), "r2");
    let done =
        done.then().args(["run", "--run-id", "x1", "--log", "logs/log.txt", "--", "true"]).any_stderr().run();
    let wrong = |done: Done, words: &[&str], status: i32, sentence: &str| {
        let test = done.then().args(["diff"]).args(words).args(["--log", "logs"]);
        test.status(status).stderr_contains(sentence).run()
    };
    let done = wrong(done, &["zz"], 78, "no run's id begins with 'zz'");
    let done = wrong(done, &["r"], 78, "'r' is the beginning of 2 runs' ids");
    // It has no copy: nothing changed, and that is known.
    let done = done.then().args(["diff", "x1", "--log", "logs"]).run();
    let done = wrong(done, &["r2", "r1"], 78, "give the earlier one first");
    let lists = std::fs::read_dir(done.path("logs/.hook-runner/histories/log.txt")).unwrap();
    let lists = lists.map(|entry| entry.unwrap().path());
    let list =
        lists.into_iter().find(|path| path.to_str().is_some_and(|path| path.ends_with("r1.1.changes")));
    std::fs::remove_file(list.expect("a list of changes")).unwrap();
    wrong(done, &["r1"], 74, "it is not known what run r1 changed");
}

#[test]
fn the_list_of_changes_goes_with_the_log_of_its_run() {
    let mut done = copy(Test::new().file("app/a", "a\n"), "r1");
    for run in ["r2", "r3", "r4"] {
        let test = done.then().args(["run", "--run-id", run, "--copy", "app:data", "--log", "logs/log.txt"]);
        done = test.args(["--keep", "1", "--", "true"]).any_stderr().run();
    }
    let entries = std::fs::read_dir(done.path("logs/.hook-runner/histories/log.txt")).expect("a history");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    assert_eq!(names, ["index.jsonl", "r3.1.changes", "r3.log", "r4.1.changes"]);
}

#[test]
fn what_a_copy_changed_before_it_failed_is_told_and_what_had_no_name_yet_is_not() {
    needs!(Fuse);
    let mut room = Room::new();
    let options = ["--copy", "app:data", "--prune", "owned", "--run-id", "first"];
    let test = room.test(&options, "true").file("app/changed", "1").file("app/gone", "x");
    let done = test.any_stderr().run();
    std::fs::remove_file(done.path("app/gone")).unwrap();
    std::fs::write(done.path("app/changed"), "2").unwrap();
    std::fs::write(done.path("app/new"), "3").unwrap();
    let second = |done: Done, run: &str| {
        let words = ["run", "--log", LOG, "--copy", "app:data", "--prune", "owned", "--run-id", run];
        done.then().args(words).status(74).any_stderr().run()
    };
    // Removed last, when all else has its name.
    room.mount.set("unlink", Fault::Errno(libc::EIO).on_path("/gone"));
    let done = second(done, "second");
    room.mount.clear();
    assert!(done.path("data/new").exists() && done.path("data/gone").exists());
    let words = |run: &str| ["diff".to_owned(), run.to_owned(), "--log=data".to_owned()];
    let told = ">fc.t...... changed\n>f+++++++++ new\n";
    let done = done.then().args(words("second")).stdout(told).run();
    // Before the first name.
    std::fs::write(done.path("app/late"), "4").unwrap();
    room.mount.set("rename", Fault::Errno(libc::EIO).on_path("/late"));
    let done = second(done, "third");
    room.mount.clear();
    assert!(!done.path("data/late").exists());
    let done = done.then().args(words("third")).any_stdout().run();
    assert!(!done.stdout.contains("late"), "{}", done.stdout);
}
