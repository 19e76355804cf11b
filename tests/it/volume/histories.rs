//! Each log has a history of its own, and nobody's file is ever taken for one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::harness::{Done, PROGRAM, Test};

/// `run --run-id RUN --log LOG` of a shell script.
#[track_caller]
pub(super) fn run(test: Test, run: &str, log: &str, script: &str, status: i32) -> Done {
    test.args(["run", "--run-id", run, "--log", log, "--", "sh", "-c", script])
        .status(status)
        .any_stdout()
        .any_stderr()
        .run()
}

#[track_caller]
pub(super) fn printed(done: Done, arguments: &[&str]) -> (Done, String) {
    let done = done.then().args(arguments).any_stdout().any_stderr().run();
    let text = done.stdout.clone();
    (done, text)
}

#[test]
fn two_logs_of_one_directory_never_meet_whatever_their_runs_are_called() {
    let done = run(Test::new(), "r1", "d/a", "echo a-one; exit 3", 3);
    let done = run(done.then(), "r1", "d/b", "echo b-one", 0);
    let done = run(done.then(), "r2", "d/a", "echo a-two", 0);
    let done = run(done.then(), "r2", "d/b", "echo b-two", 0);
    let (done, of_a) = printed(done, &["logs", "--all", "--raw", "d/a"]);
    assert_eq!(of_a, "a-one\na-two\n");
    let (done, of_b) = printed(done, &["logs", "--all", "--raw", "d/b"]);
    assert_eq!(of_b, "b-one\nb-two\n");
    let (done, failed) = printed(done, &["logs", "--failed", "--raw", "d"]);
    assert_eq!(failed, "a-one\n");
    let (_, both) = printed(done, &["logs", "--all", "d"]);
    assert!(both.contains("==> a <==\n") && both.contains("==> b <==\n"), "{both}");
}

#[test]
fn logs_of_one_name_share_a_state_directory_and_do_not_mix() {
    let mut done = Test::new().args(["history", "."]).status(78).any_stderr().run();
    for (run, log) in [("r1", "x/log"), ("r1", "y/log"), ("r2", "x/log"), ("r2", "y/log")] {
        let script = format!("echo {run}-{log}");
        let arguments = ["run", "--run-id", run, "--log", log, "--state", "state", "--", "sh", "-c", &script];
        done = done.then().args(arguments).any_stdout().any_stderr().run();
    }
    let (done, of_x) = printed(done, &["logs", "--all", "--raw", "--state", "state", "x/log"]);
    assert_eq!(of_x, "r1-x/log\nr2-x/log\n");
    let (_, of_y) = printed(done, &["logs", "--all", "--raw", "--state", "state", "y/log"]);
    assert_eq!(of_y, "r1-y/log\nr2-y/log\n");
}

/// Shown as text, the two names are one.
#[test]
fn names_that_are_no_text_stay_apart() {
    let names = [OsStr::from_bytes(b"d/a\xff"), OsStr::new("d/a\u{fffd}")];
    let mut done = Test::new().args(["history", "."]).status(78).any_stderr().run();
    for run in ["r1", "r2"] {
        for (number, name) in names.iter().enumerate() {
            let test = done.then().args(["run", "--run-id", run, "--log"]).args([name]);
            done = test.args(["--", "echo", &format!("{run}-{number}")]).any_stdout().any_stderr().run();
        }
    }
    for (number, name) in names.iter().enumerate() {
        done = done.then().args(["logs", "--all", "--raw"]).args([name]).any_stdout().run();
        assert_eq!(done.stdout, format!("r1-{number}\nr2-{number}\n"));
    }
    let done = done.then().args(["history", "-o", "json", "d", "--log"]);
    let done = done.args([OsStr::from_bytes(b"a\xff")]).any_stdout().run();
    assert_eq!(done.stdout.matches("\"run\":\"r1\"").count(), 1, "{}", done.stdout);
}

#[test]
fn a_log_with_a_long_name_is_listed_with_its_directory() {
    let name = "長".repeat(80);
    let done = run(Test::new(), "r1", &format!("d/{name}"), "echo one", 0);
    let done = run(done.then(), "r2", &format!("d/{name}"), "echo two", 0);
    let (_, all) = printed(done, &["logs", "--all", "--raw", "d"]);
    assert_eq!(all, "one\ntwo\n");
}

#[test]
fn a_file_of_somebody_else_is_neither_moved_nor_written() {
    for (name, content) in
        [("notes.txt", &b"my notes\n"[..]), ("post-hook-output.txt", b"\x7fELF\x00\x01\xff\xfe"), ("x", b" ")]
    {
        let test = Test::new().file(name, content).args(["run", "--log", name, "--", "true"]);
        let done = test.status(78).stderr_contains("exists and is no log of hook-runner").run();
        assert_eq!(std::fs::read(done.path(name)).unwrap(), content);
        let names: Vec<_> =
            std::fs::read_dir(done.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [OsStr::new(name)]);
    }
}

#[test]
fn a_log_that_a_killed_attempt_left_overwritten_is_set_aside_and_the_next_attempt_works() {
    for spoil in ["echo mine >d/log", "truncate -s 0 d/log; truncate -s 500 d/log", "truncate -s 20 d/log"] {
        let script = format!("{spoil}; cp d/log spoilt; kill -KILL $PPID");
        let test = Test::new().args(["run", "--run-id", "a", "--log", "d/log", "--", "sh", "-c", &script]);
        let killed = test.command().output().unwrap();
        assert!(killed.status.code().is_none(), "{killed:?}");
        let test = Test::within(test.into_directory());
        let done = run(test, "a", "d/log", "echo again", 0);
        assert!(done.read("d/log").contains("is log.from-volume now"), "{}", done.read("d/log"));
        let done = run(done.then(), "b", "d/log", "true", 0);
        let left = |name: &str| std::fs::read(done.path(name)).unwrap();
        assert_eq!(left("d/log.from-volume"), left("spoilt"));
        assert!(printed(done, &["logs", "--all", "--raw", "d/log"]).1.contains("again\n"));
    }
}

#[test]
fn the_text_of_the_one_liner_is_adopted_and_can_be_read() {
    let test = Test::new().file("d/post-hook-output.txt", "Done with the one-liner\n");
    let done = run(test, "r1", "d/post-hook-output.txt", "echo one", 0);
    let (done, all) = printed(done, &["logs", "--all", "--raw", "d"]);
    assert_eq!(all, "Done with the one-liner\none\n");
    let (done, rows) = printed(done, &["history", "d"]);
    assert!(rows.contains("adopted"), "{rows}");
    // As long as retention lets it.
    let done = run(done.then(), "r2", "d/post-hook-output.txt", "echo two", 0);
    let (_, all) = printed(done, &["logs", "--run", "adopted", "--raw", "d"]);
    assert_eq!(all, "Done with the one-liner\n");
}

#[test]
fn an_empty_file_is_used_as_the_log() {
    let done = run(Test::new().file("log", ""), "r1", "log", "echo one", 0);
    let (_, all) = printed(done, &["logs", "--raw", "log"]);
    assert_eq!(all, "one\n");
}

#[test]
fn what_another_name_of_a_log_leads_to_is_never_written_to() {
    let done = run(Test::new(), "r1", "d/log", "echo one; exit 3", 3);
    std::fs::hard_link(done.path("d/log"), done.path("d/second")).unwrap();
    let before = done.read("d/log");
    let done = run(done.then(), "r1", "d/log", "echo two", 0);
    let done = run(done.then(), "r2", "d/log", "echo three", 0);
    let done = run(done.then(), "r1", "d/log", "echo four", 0);
    assert_eq!(done.read("d/second"), before);
    let (done, all) = printed(done, &["logs", "--raw", "--run", "r1", "d/log"]);
    assert_eq!(all, "one\ntwo\nfour\n");
    let (done, alone) = printed(done, &["logs", "--raw", "d/second"]);
    assert_eq!(alone, "one\n");
    std::os::unix::fs::symlink("log", done.path("d/link")).unwrap();
    let before = done.read("d/log");
    let done =
        done.then().args(["run", "--log", "d/link", "--", "true"]).status(78).stderr_contains("d/link").run();
    assert_eq!(done.read("d/log"), before);
}

#[test]
fn the_runners_own_files_are_no_logs() {
    let mut done = run(Test::new(), "r1", "d/log", "echo one", 0);
    for log in ["d/.hook-runner/lock", "d/.hook-runner/histories/log/index.jsonl", "d/.hook-runner/new"] {
        let test = done.then().args(["run", "--log", log, "--", "true"]);
        done = test.status(78).stderr_contains(log).run();
    }
    let (_, rows) = printed(done, &["history", "d/log"]);
    assert!(rows.contains("1 run, 1 attempt, 0 failed"), "{rows}");
}

#[test]
fn the_archive_replaces_nothing() {
    let done = run(Test::new(), "r1", "log", "echo one", 0);
    std::fs::write(done.path(".hook-runner/histories/log/r1.log"), "precious\n").unwrap();
    let done = run(done.then(), "r2", "log", "echo two", 0);
    assert_eq!(done.read(".hook-runner/histories/log/r1.log"), "precious\n");
    let done = run(done.then(), "r1", "log", "echo three", 0);
    let (_, all) = printed(done, &["logs", "--run", "r1", "--raw", "log"]);
    assert_eq!(all, "one\nthree\n");
}

/// Each run archives the other's log and brings its own back.
#[test]
fn a_run_is_read_as_itself_while_two_runs_alternate() {
    let mut done = Test::new();
    for name in ["a", "b"] {
        done = run(done, name, "d/log", &format!("echo of {name}"), 0).then();
    }
    let directory = done.into_directory();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(directory.path());
        command
    };
    let is_over = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut read = 0;
            while !is_over.load(Ordering::Relaxed) {
                let output = command(&["logs", "--run", "a", "--raw", "d/log"]).output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout);
                let is_its_own = !text.is_empty() && text.lines().all(|line| line == "of a");
                assert!(output.status.success() && is_its_own && output.stderr.is_empty(), "{output:?}");
                read += 1;
            }
            read
        });
        let again =
            |name| command(&["run", "--run-id", name, "--log", "d/log", "--", "echo", "of", name]).output();
        let ended: Vec<_> = (0..30).map(|number| again(["a", "b"][number % 2])).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(ended.iter().flatten().filter(|output| output.status.success()).count() == 30, "{ended:?}");
        reader.join().unwrap()
    });
    assert!(read > 5, "only {read} times");
}
