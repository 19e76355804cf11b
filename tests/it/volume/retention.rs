//! Which logs of earlier runs stay.

use super::histories::printed;
use crate::support::harness::{Done, Test};

#[track_caller]
fn run(test: Test, run: &str, keep: &[&str], script: &str, status: i32) -> Done {
    test.args(["run", "--run-id", run, "--log", "log"])
        .args(keep)
        .args(["--", "sh", "-c", script])
        .status(status)
        .any_stdout()
        .any_stderr()
        .run()
}

fn archived(done: &Done) -> Vec<String> {
    let entries = std::fs::read_dir(done.path(".hook-runner/histories/log")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".log"));
    names.sort();
    names
}

#[test]
fn the_last_failed_run_and_the_newest_earlier_one_stay_whatever_the_limits_are() {
    for keep in [&["--keep", "0"][..], &["--keep-bytes", "1"]] {
        let mut done = run(Test::new(), "bad", keep, "echo REASON; exit 3", 3);
        for number in 0..4 {
            done = run(done.then(), &format!("good{number}"), keep, "echo fine", 0);
        }
        assert_eq!(archived(&done), ["bad.log", "good2.log"], "{keep:?}");
        let (_, failed) = printed(done, &["logs", "--failed", "--raw", "log"]);
        assert_eq!(failed, "REASON\n");
    }
}

/// The clock went back; the files' times too.
#[test]
fn the_oldest_run_goes_first_and_not_the_one_with_the_oldest_time() {
    let mut done = run(Test::new(), "a", &[], "echo a", 0);
    for name in ["b", "c"] {
        done = run(done.then(), name, &[], "echo x", 0);
    }
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    let file =
        std::fs::File::options().write(true).open(done.path(".hook-runner/histories/log/b.log")).unwrap();
    file.set_modified(old).unwrap();
    let done = run(done.then(), "d", &["--keep", "2"], "echo d", 0);
    assert_eq!(archived(&done), ["b.log", "c.log"]);
}

#[test]
fn other_logs_do_not_count() {
    let mut done = run(Test::new(), "a", &["--keep", "1"], "echo a; exit 3", 3);
    for number in 0..4 {
        let arguments =
            ["run", "--run-id", &format!("o{number}"), "--keep", "1", "--log", "other", "--", "true"];
        done = done.then().args(arguments).any_stderr().run();
    }
    done = run(done.then(), "b", &["--keep", "1"], "echo b", 0);
    assert_eq!(archived(&done), ["a.log"]);
}

#[test]
fn a_run_that_is_no_longer_kept_is_told_and_is_no_success() {
    let mut done = run(Test::new(), "a", &["--keep", "0"], "echo a", 0);
    for name in ["b", "c"] {
        done = run(done.then(), name, &["--keep", "0"], "echo x", 0);
    }
    let done =
        done.then().args(["logs", "--run", "a", "log"]).status(74).stderr_contains("no longer kept").run();
    // With all of them it is as it should be.
    let (_, all) = printed(done, &["logs", "--all", "--raw", "log"]);
    assert_eq!(all, "x\nx\n");
}

#[test]
fn a_log_that_was_last_written_too_many_days_ago_goes() {
    let mut done = run(Test::new(), "r1", &[], "true", 0);
    for number in 2..4 {
        done = run(done.then(), &format!("r{number}"), &[], "true", 0);
    }
    let file =
        std::fs::File::options().append(true).open(done.path(".hook-runner/histories/log/r1.log")).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(6 * 86_400)).unwrap();
    done = run(done.then(), "r4", &["--keep-days", "7"], "true", 0);
    assert_eq!(archived(&done), ["r1.log", "r2.log", "r3.log"]);
    done = run(done.then(), "r5", &["--keep-days", "5"], "true", 0);
    assert_eq!(archived(&done), ["r2.log", "r3.log", "r4.log"]);
}
