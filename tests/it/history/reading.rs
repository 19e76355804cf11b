//! `logs` and `history`: what an on-call engineer reads when the pod is gone.

use crate::support::harness::{Done, Test};

fn attempt(test: Test, run: &str, script: &str, status: i32) -> Done {
    test.args(["run", "--run-id", run, "--log", "{}/data/post-hook-output.txt", "--", "sh", "-c", script])
        .env("HOOK_RUNNER_RELEASE", "vote")
        .env("HOOK_RUNNER_REVISION", "3")
        .status(status)
        .any_stdout()
        .any_stderr()
        .run()
}

fn three_attempts() -> Done {
    let done = attempt(Test::new(), "aaa", "echo one; exit 3", 3);
    let done = attempt(done.then(), "aaa", "echo two", 0);
    attempt(done.then(), "bbb", "echo three", 0)
}

#[test]
fn logs_prints_the_last_run_a_given_one_and_what_failed() {
    let done = three_attempts();
    let done = done.then().args(["logs", "{}/data"]).stdout_contains("three\n").run();
    assert!(!done.stdout.contains("\none\n"));
    let done = done.then().args(["logs", "data", "--run", "aa"]).stdout_contains("\none\n").run();
    assert!(done.stdout.contains("\ntwo\n"));
    let done =
        done.then().args(["logs", "data", "--run", "aaa", "--attempt", "2"]).stdout_contains("\ntwo\n").run();
    assert!(!done.stdout.contains("\none\n"));
    let done = done.then().args(["logs", "data", "--failed"]).stdout_contains("\none\n").run();
    assert!(!done.stdout.contains("\ntwo\n") && !done.stdout.contains("three\n"));
    let done =
        done.then().args(["logs", "data/post-hook-output.txt", "--all"]).stdout_contains("\none\n").run();
    assert!(done.stdout.contains("three\n"));
    let done = done
        .then()
        .args(["logs", "data", "--run", "zzz"])
        .status(78)
        .stderr_contains("no run's id begins with 'zzz'");
    done.run();
}

#[test]
fn logs_as_json_holds_the_output_and_the_end_of_each_attempt() {
    let done = three_attempts().then().args(["logs", "data", "--all", "--json"]).any_stdout().run();
    let lines: Vec<serde_json::Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["ended"]["status"], 3);
    assert!(lines[2]["output"].as_str().unwrap().contains("three\n"));
}

#[test]
fn history_has_one_row_per_attempt() {
    let done = three_attempts().then().args(["history", "data"]).any_stdout().run();
    let rows: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(rows.len(), 4, "{}", done.stdout);
    assert!(rows[0].starts_with("STARTED"));
    for (row, parts) in [
        (1, ["vote", "aaa", "command (3)"]),
        (2, ["3", "aaa", "succeeded"]),
        (3, ["vote", "bbb", "succeeded"]),
    ] {
        for part in parts {
            assert!(rows[row].contains(part), "{part} in {}", rows[row]);
        }
    }
}

#[test]
fn a_place_without_a_run_is_named() {
    Test::new().args(["history", "{}"]).status(78).stderr_contains("there is no run in").run();
    Test::new()
        .args(["logs", "{}/nothing"])
        .status(78)
        .stderr_contains("there is nothing at {}/nothing")
        .run();
}
