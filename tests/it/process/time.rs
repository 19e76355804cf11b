//! Being PID 1: time limits, retries, and a stop at any of them.

use nix::libc;

use crate::process::signals::{start, wait_for_the_end_of};
use crate::support::harness::{Test, eventually};
use crate::support::running::Running;

#[test]
fn a_retry_for_which_no_time_is_left_is_not_begun_and_the_log_says_so() {
    let done = Test::new()
        .args(["run", "--log", "{}/data/post-hook-output.txt", "--timeout", "1m", "--retries", "3"])
        .args(["--backoff", "1h", "--", "sh", "-c", "echo try; exit 5"])
        .status(5)
        .stdout("try\n")
        .stderr_contains("sh exited with 5; no time is left for retry 1 of 3")
        .run();
    assert!(done.log().contains("try\nhook-runner: sh exited with 5; no time is left"), "{}", done.log());
}

#[test]
fn a_try_that_runs_out_of_the_steps_time_is_tried_again() {
    let script = "echo try; [ -e tried ] || { touch tried; exec sleep 1000; }";
    Test::new()
        .args(["run", "--log", "{}/data/post-hook-output.txt", "--exec-timeout", "2s", "--retries", "1"])
        .args(["--backoff", "10ms", "--", "sh", "-c", script])
        .stdout("try\ntry\n")
        .stderr_contains("sh ran out of time; retry 1 of 1 in 10ms")
        .run();
}

#[test]
fn the_time_limit_of_the_attempt_and_of_the_step_end_in_124() {
    for limit in ["--timeout", "--exec-timeout"] {
        let done = Test::new()
            .args(["run", "--log", "{}/data/post-hook-output.txt", limit, "2s", "--", "sleep", "1000"])
            .status(124)
            .any_stderr()
            .run();
        assert!(done.log().contains("end of attempt"), "{}", done.log());
    }
}

/// A polite command is no successful one: what it had to do is not done.
#[test]
fn a_command_that_exits_0_when_its_time_is_over_has_still_run_out_of_it() {
    for limit in ["--timeout", "--exec-timeout"] {
        let script = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done";
        Test::new()
            .args(["run", "--log", "{}/data/post-hook-output.txt", limit, "2s", "--", "bash", "-c", script])
            .status(124)
            .stdout_contains("bye\n")
            .stderr_contains("time of 2s")
            .run();
    }
}

#[test]
fn what_fails_each_time_is_tried_as_often_as_asked_for_and_no_more() {
    for retries in ["0", "2"] {
        let done = Test::new()
            .args(["run", "--log", "{}/data/post-hook-output.txt", "--retries", retries, "--backoff", "10ms"])
            .args(["--", "sh", "-c", "echo try; exit 6"])
            .status(6)
            .any_stdout()
            .any_stderr()
            .run();
        assert_eq!(done.stdout, "try\n".repeat(1 + retries.parse::<usize>().expect("a number")));
    }
}

#[test]
fn after_a_stop_no_further_step_is_begun_though_the_command_ended_well() {
    let steps = "log: data/log\nsteps:\n  - exec: {command: [bash, -c, \"trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done\"]}\n  - exec: {command: [touch, second]}\n";
    let test = Test::new().file("hook.yaml", steps).args(["run", "--hook", "hook.yaml"]);
    let command = test.command();
    let mut running = Running::start(command, test.into_directory());
    running.wait_for("out", "ready");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 143);
    assert!(!running.path("second").exists());
    assert!(
        running.read("data/log").contains("failed     stopped by SIGTERM (signal 15) from process"),
        "{}",
        running.read("data/log")
    );
}

#[test]
fn retries_are_each_a_line_in_the_log_and_the_last_status_counts() {
    let script =
        "n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n; echo try $n; [ $n -ge 3 ] || exit $n";
    let done = Test::new()
        .args(["run", "--log", "{}/data/post-hook-output.txt", "--retries", "5", "--backoff", "10ms"])
        .args(["--", "sh", "-c", script])
        .stdout("try 1\ntry 2\ntry 3\n")
        .stderr_contains("sh exited with 1; retry 1 of 5 in 10ms")
        .stderr_contains("sh exited with 2; retry 2 of 5 in 20ms")
        .run();
    let log = done.log();
    assert!(log.contains("try 1\nhook-runner: sh exited with 1; retry 1 of 5 in 10ms\ntry 2\n"), "{log}");
}

#[test]
fn a_stop_between_two_tries_ends_the_run() {
    let mut running = start(&["--retries", "3", "--backoff", "1h"], "exit 5");
    running.wait_for("err", "retry 1 of 3");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 143);
}

#[test]
fn a_stopped_command_is_continued_so_that_it_can_act_on_term() {
    let mut running = start(&["--timeout", "1s", "--grace", "1h"], "echo ready; kill -STOP $$; exit 3");
    assert_eq!(running.end(), 124);
}

#[test]
fn times_that_no_clock_can_show_are_as_good_as_none() {
    const LONG: &str = "999999999d";
    let run = |options: &[&str], command: &[&str], status| {
        Test::new()
            .env("HOOK_RUNNER_TERMINATION_GRACE_PERIOD", "30")
            .file("app/file", "content")
            .args(["run", "--log", "{}/data/post-hook-output.txt"])
            .args(options)
            .args(["--"])
            .args(command)
            .status(status)
            .any_stderr()
            .run()
    };
    run(&["--grace", LONG, "--timeout", "2s"], &["sleep", "1000"], 124);
    run(&["--exec-timeout", LONG], &["true"], 0);
    run(&["--drain", LONG], &["true"], 0);
    run(&["--timeout", LONG], &["true"], 0);
    run(&["--lock-timeout", LONG, "--copy", "{}/app:{}/data"], &["true"], 0);
    let done = run(&["--backoff", LONG, "--retries", "1", "--timeout", "1m"], &["false"], 1);
    assert!(done.stderr.contains("no time is left for retry 1 of 1"), "{}", done.stderr);
}

/// One that hangs the second time: the try before it has failed.
const HANGS_AGAIN: &str = "echo try; [ -e tried ] && exec sleep 1000; touch tried; exit 5";

#[test]
fn the_time_of_the_step_ends_the_last_try_in_124() {
    let done = Test::new()
        .args(["run", "--log", "{}/data/post-hook-output.txt", "--exec-timeout", "2s", "--retries", "1"])
        .args(["--backoff", "10ms", "--", "sh", "-c", HANGS_AGAIN])
        .status(124)
        .stdout("try\ntry\n")
        .stderr_contains("sh exited with 5; retry 1 of 1 in 10ms")
        .run();
    assert!(done.log().contains("end of attempt") && !done.stderr.contains("retry 2"), "{}", done.log());
}

#[test]
fn the_time_of_the_attempt_ends_a_retry_in_124_and_nothing_is_tried_after_it() {
    let done = Test::new()
        .args(["run", "--log", "{}/data/post-hook-output.txt", "--timeout", "2s", "--retries", "5"])
        .args(["--backoff", "10ms", "--", "sh", "-c", HANGS_AGAIN])
        .status(124)
        .stdout("try\ntry\n")
        .stderr_contains("sh exited with 5; retry 1 of 5 in 10ms")
        .run();
    assert!(done.log().contains("end of attempt") && !done.stderr.contains("retry 2"), "{}", done.log());
}

#[test]
fn a_stop_during_a_retry_ends_the_attempt_and_nothing_is_tried_after_it() {
    let script = "trap 'exit 9' TERM; echo try; [ -e tried ] || { touch tried; exit 5; }; echo again; \
                  while :; do sleep 0.02; done";
    let mut running = start(&["--retries", "5", "--backoff", "10ms"], script);
    running.wait_for("out", "again\n");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 143);
    // Bash tells what it was stopped by in its sleep, now and then.
    assert_eq!(running.read("out").matches("try\n").count(), 2, "{}", running.read("out"));
    assert_eq!(running.read("err").matches("; retry ").count(), 1, "{}", running.read("err"));
    assert!(running.read("data/post-hook-output.txt").contains("end of attempt"));
}

#[test]
fn a_stop_during_a_wait_begins_no_command_and_seals_the_log() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut running = start(&["--wait-for", "file:nowhere", "--wait-timeout", "1h"], "touch ran");
        running.wait_for("data/.hook-runner/runner.log", "step begins");
        running.signal(signal);
        assert_eq!(running.end(), 128 + signal);
        let log = running.read("data/post-hook-output.txt");
        assert!(!running.path("ran").exists() && log.contains("end of attempt"), "{log}");
    }
}

#[test]
fn a_second_stop_while_leftovers_are_waited_for_ends_them_at_once() {
    let left = "trap '' TERM INT; echo left; while :; do sleep 0.1; done";
    let script =
        format!("setsid sh -c \"{left}\" & until grep -q left out; do sleep 0.02; done; echo $$ >pid");
    let mut running = start(&["--drain", "1h", "--grace", "1h"], &script);
    wait_for_the_end_of(&running, "pid");
    running.signal(libc::SIGTERM);
    eventually("the first is read", || running.read("err").contains("SIGTERM").then_some(()));
    // At once, it would be one request that comes twice.
    std::thread::sleep(std::time::Duration::from_millis(100));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 0, "the command's own");
    let log = running.read("data/post-hook-output.txt");
    assert!(log.contains("sending KILL") && log.contains("end of attempt"), "{log}");
}
