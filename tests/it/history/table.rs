//! `history` on terminals of every width, and of directories with several logs.

use crate::support::harness::{Done, PROGRAM, Test};

/// What `history` prints on a terminal with so many columns.
fn on_a_terminal(done: &Done, columns: usize, arguments: &str) -> String {
    let shell = format!("stty cols {columns}; {PROGRAM} history {arguments}");
    let script = std::process::Command::new("script")
        .args(["-qec", &shell, "/dev/null"])
        .current_dir(done.path(""))
        .env("NO_COLOR", "1")
        .output()
        .expect("script(1)");
    String::from_utf8(script.stdout).expect("text").replace('\r', "")
}

fn run(test: Test, log: &str, run: &str, script: &str, status: i32) -> Done {
    let test = test.args(["run", "--run-id", run, "--log", log, "--", "sh", "-c", script]);
    test.status(status).any_stdout().any_stderr().run()
}

fn release(test: Test) -> Test {
    test.env("HOOK_RUNNER_RELEASE", "payments-production-eu-west-1")
        .env("HOOK_RUNNER_REVISION", "12")
        .env("HOOK_RUNNER_HOOK_EVENT", "post-upgrade")
        .env("HOOK_RUNNER_JOB", "payments-production-eu-west-1-hook")
        .env("HOOK_RUNNER_POD", "payments-production-eu-west-1-hook-x7f2p")
}

#[test]
fn every_width_shows_the_cause_of_a_failure_and_no_line_is_wider() {
    let done = run(release(Test::new()), "d/log", "6e1f0c7a-one", "exit 7", 7);
    let done = run(release(done.then()), "d/log", "94b2aa01-two", "true", 0);
    for columns in [200, 120, 100, 80, 60, 50, 46, 40, 34, 30, 24] {
        let table = on_a_terminal(&done, columns, "d");
        for line in table.lines() {
            assert!(line.chars().count() <= columns, "{columns} columns: {line:?} in {table}");
        }
        // At least the width that a cause has at any rate: 20 columns, less one for the mark that it is cut.
        assert!(table.contains("sh exited with 7"), "{columns} columns: {table}");
        assert!(
            table.lines().any(|line| line.contains("6e1f0c7")) || columns < 34,
            "{columns} columns: {table}"
        );
    }
    let table = on_a_terminal(&done, 80, "d");
    assert!(table.starts_with("STARTED"), "{table}");
    assert!(!table.contains("payments"), "the same in each row, it is what goes first: {table}");
}

/// A column that differs stays before one that says the same in each row.
#[test]
fn what_tells_the_rows_apart_stays_longest() {
    let mut done = Test::new().args(["--version"]).any_stdout().run();
    for (id, revision) in [("aaaaaaa1", "41"), ("bbbbbbb2", "42")] {
        done = run(release(done.then()).env("HOOK_RUNNER_REVISION", revision), "d/log", id, "exit 1", 1);
    }
    let table = on_a_terminal(&done, 70, "d");
    assert!(table.contains("41") && table.contains("42") && !table.contains("ATTEMPT"), "{table}");
}

#[test]
fn of_several_logs_each_row_and_each_output_says_of_which_it_is() {
    let done = run(Test::new(), "d/one", "aaa", "echo one; exit 1", 1);
    let mut done = run(done.then(), "d/two", "bbb", "echo two", 0);
    for arguments in [&["-n", "1"][..], &["--failed"], &["--log", "one"]] {
        done = done.then().args(["history", "d"]).args(arguments).any_stdout().run();
        let lines: Vec<&str> = done.stdout.lines().collect();
        assert!(lines[0].contains("LOG"), "{arguments:?}: {}", done.stdout);
        let log = if arguments == ["-n", "1"] { " two " } else { " one " };
        assert!(lines[1].contains(log), "{arguments:?}: {}", done.stdout);
    }
    done.then().args(["logs", "d", "--failed"]).stdout_contains("==> one <==\n").run();
}
