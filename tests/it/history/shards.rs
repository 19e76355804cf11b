//! The shards of a copy write a log each, and are read by the name that the hooks were given.

use crate::support::harness::{Done, Test};

/// Three shards, the second of which fails at first.
fn sharded(test: Test, run: &str) -> Done {
    let shard = |test: Test, shard: &str, script: &str, status: i32| {
        let test = test.args(["run", "--run-id", run, "--shard", shard, "--log", "v/log"]);
        let test = test.args(["--copy", "image:v/to", "--", "sh", "-c", script]);
        test.status(status).any_stdout().any_stderr().run()
    };
    let done = shard(test, "0/3", "echo out of 0", 0);
    let done = shard(done.then(), "1/3", "echo wrong in 1; exit 3", 3);
    let done = shard(done.then(), "1/3", "echo out of 1", 0);
    shard(done.then(), "2/3", "echo out of 2", 0)
}

fn image() -> Test {
    Test::new().file("image/a", "1").file("image/b", "2").file("image/c", "3").file("image/d", "4")
}

#[test]
fn a_log_of_shards_is_read_by_the_name_that_was_given() {
    let done = sharded(sharded(image(), "first").then(), "second");
    assert!(!done.path("v/log").exists());
    let printed = "out of 0\nwrong in 1\nout of 1\nout of 2\n";
    let done = done.then().args(["logs", "--raw", "v/log"]).stdout(printed).run();
    let done = done.then().args(["logs", "--raw", "v/log", "--run", "fi"]).stdout(printed).run();
    let done = done.then().args(["history", "v/log", "--json", "--log", "log"]).any_stdout().run();
    assert_eq!(done.stdout.lines().count(), 8, "{}", done.stdout);
    let done = done.then().args(["history", "v/log"]).any_stdout().run();
    assert!(done.stdout.contains("\n2 runs, 8 attempts, 2 failed"), "{}", done.stdout);
    assert!(!done.stdout.contains("LOG"), "one log was given: {}", done.stdout);
    let done = done.then().args(["diff", "--log", "v/log", "first"]).any_stdout().run();
    let mut names: Vec<&str> = done.stdout.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c", "d"], "{}", done.stdout);
    let done = done.then().args(["diff", "--log", "v/log", "first", "second"]).run();
    let done = done.then().args(["report", "v/log"]).any_stdout().run();
    assert!(done.stdout.contains("out of 2"), "the report has no output of the last shard");
    let done = done.then().args(["logs", "--raw", "v/log", "-f", "--exit-status"]).stdout(printed).run();
    // The one shard's own name is still its own.
    done.then().args(["logs", "--raw", "v/log.shard-2"]).stdout("out of 2\n").run();
}

/// The chart's `shards` was set after the first release.
#[test]
fn a_log_from_before_there_were_shards_is_read_with_theirs() {
    let test = image().args(["run", "--run-id", "before", "--log", "v/log", "--copy", "image:v/to"]);
    let done = test.args(["--", "echo", "alone"]).any_stdout().any_stderr().run();
    let done = sharded(done.then(), "after");
    let done = done.then().args(["logs", "--raw", "v/log", "--run", "before"]).stdout("alone\n").run();
    let done = done.then().args(["logs", "--raw", "v/log"]);
    done.stdout("out of 0\nwrong in 1\nout of 1\nout of 2\n").run();
}

#[test]
fn a_follower_of_all_shards_ends_with_a_failure_of_one() {
    let mut done = image().args(["--version"]).any_stdout().run();
    for (shard, status) in [("0/3", 0), ("1/3", 4), ("2/3", 0)] {
        let test = done.then().args(["run", "--run-id", "r", "--shard", shard, "--log", "v/log"]);
        let test =
            test.args(["--copy", "image:v/to", "--", "sh", "-c", &format!("echo {shard}; exit {status}")]);
        done = test.status(status).any_stdout().any_stderr().run();
    }
    let test = done.then().args(["logs", "v/log", "--raw", "-f", "--exit-status"]);
    test.status(4).stdout("0/3\n1/3\n2/3\n").run();
}
