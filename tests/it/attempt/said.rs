//! What an attempt says while it goes on, and what it makes durable at its end.

use std::process::{Command, Stdio};

use crate::needs;
use crate::support::harness::{LOG, PROGRAM, Test};
use crate::support::running::Running;

#[test]
fn a_redaction_that_does_not_happen_is_said_when_the_attempt_begins() {
    let done = Test::new()
        .args(["run", "--log", LOG, "--redact", "abc", "--redact-env", "NOT_SET_ANYWHERE", "--", "true"])
        .any_stderr()
        .run();
    for part in
        ["--redact number 1 is shorter than 6 bytes and is NOT redacted", "NOT_SET_ANYWHERE is not set"]
    {
        let line = done.stderr.lines().position(|line| line.contains(part));
        assert!(line.is_some_and(|at| at + 1 < done.stderr.lines().count()), "{}", done.stderr);
    }
}

#[test]
fn the_borders_of_steps_are_said_and_in_the_log() {
    let done = Test::new()
        .file("app/file", "content")
        .args(["run", "--copy", "{}/app:{}/data", "--", "echo", "edited"])
        .stdout("edited\n")
        .any_stderr()
        .run();
    let log = done.log();
    for text in [&log, &done.stderr] {
        for part in [
            "hook-runner: step 1 of 2 begins: copy ",
            "hook-runner: step 1 of 2 ended after ",
            "hook-runner: step 2 of 2 begins: exec echo edited\n",
            ": exited with 0\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    let one = Test::new().args(["run", "--log", LOG, "--", "echo", "one"]).any_stdout().any_stderr().run();
    assert!(!one.log().contains("step 1 of 1"), "one command is framed by the attempt: {}", one.log());
}

#[test]
fn the_footer_says_which_bytes_of_the_output_are_each_steps() {
    let steps = "log: data/log\nsteps:\n  - exec: {command: [echo, one]}\n  - exec: {command: [echo, two]}\n";
    let done = Test::new().file("hook.yaml", steps).args(["run", "--hook", "hook.yaml"]);
    let done = done.stdout("one\ntwo\n").any_stderr().run();
    let log = done.read("data/log");
    let (_, output) = log.split_once("--- output ---\n").expect("a header");
    let record = log.lines().rev().find_map(|line| line.strip_prefix("record")).expect("a record");
    let record: serde_json::Value = serde_json::from_str(record.trim()).expect("JSON");
    for (step, text) in record["steps"].as_array().expect("steps").iter().zip(["one\n", "two\n"]) {
        let at = |end: &str| usize::try_from(step[end].as_u64().expect("a number")).expect("a number");
        assert_eq!(&output[at("from")..at("to")], text, "{log}");
    }
}

/// It may write into its own log at any moment, and everything stands there.
#[test]
fn what_a_command_appends_to_its_own_log_belongs_to_its_step() {
    let step =
        |word: &str| format!("- exec: {{command: [sh, -c, 'echo {word}; echo own {word} >>d/log']}}\n");
    let file = format!("log: d/log\nsteps:\n{}{}{}", step("one"), step("two"), step("three"));
    let mut done =
        Test::new().file("h.yaml", &file).args(["run", "--hook", "h.yaml"]).any_stdout().any_stderr().run();
    for (number, word) in (1..).zip(["one", "two", "three"]) {
        let logs = done.then().args(["logs", "d/log", "--step", &number.to_string()]).any_stdout().run();
        let mut lines: Vec<&str> = logs.stdout.lines().collect();
        lines.sort_unstable();
        let mut expected = [word.to_owned(), format!("own {word}")];
        expected.sort_unstable();
        assert_eq!(lines, expected);
        done = logs;
    }
    let logs = done.then().args(["logs", "d/log", "--raw"]).any_stdout().run();
    assert_eq!(logs.stdout.lines().count(), 6, "{}", logs.stdout);
}

#[test]
fn who_waits_says_every_ten_seconds_what_was_seen_last() {
    let done = Test::new()
        .args(["run", "--log", LOG, "--wait-for", "file:/nowhere/at/all", "--wait-timeout", "12s"])
        .args(["--", "true"])
        .status(69)
        .any_stderr()
        .run();
    let beat = |line: &str| {
        line.starts_with("hook-runner: waiting for file:/nowhere/at/all for ")
            && line.ends_with(": /nowhere/at/all does not exist")
    };
    assert!(done.stderr.lines().any(beat), "{}", done.stderr);
}

#[test]
fn who_waits_for_another_run_of_the_destination_says_so_every_ten_seconds() {
    let test = Test::new().file("app/page", "1").args(["run", "--log", "log", "--copy", "app:data", "--"]);
    let test = test.args(["sh", "-c", "echo up; sleep 60"]);
    let running = Running::start(test.command(), test.into_directory());
    running.wait_for("out", "up\n");
    let at = |name: &str| running.path(name).display().to_string();
    Test::new()
        .args(["run", "--log", "log", "--lock-timeout", "11s", "--copy"])
        .args([format!("{}:{}", at("app"), at("data")), "--".into(), "true".into()])
        .status(75)
        .stderr_contains(format!("hook-runner: waiting for {} for 10", at("data/.hook-runner")))
        .stderr_contains(": its lock is held by run ")
        .run();
}

#[test]
fn what_the_runner_says_is_not_glued_to_a_line_that_the_command_did_not_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let both = directory.path().join("both");
    let file = std::fs::File::create(&both).expect("a file");
    let status = Command::new(PROGRAM)
        .args(["run", "--log", "none", "--redact", "a secret", "--retries", "1", "--backoff", "1ms"])
        .args(["--", "sh", "-c", "printf no-end; exit 3"])
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a descriptor"))
        .stderr(file)
        .status()
        .expect("it runs");
    assert_eq!(status.code(), Some(3));
    let text = std::fs::read_to_string(both).expect("text");
    let begins = |line: &str| line == "no-end" || line.starts_with("hook-runner: ");
    assert!(text.lines().all(begins) && text.matches("no-end\n").count() == 2, "{text}");
}

/// Without a log, the command has the runner's own streams unless both are one.
#[test]
fn without_a_log_the_summary_begins_its_own_line_too() {
    for script in ["printf no-end; exit 3", "printf no-end >&2; exit 3"] {
        let options = ["--log", "none", "--retries", "1", "--backoff", "1ms", "--", "sh", "-c", script];
        let directory = tempfile::tempdir().expect("a directory");
        let file = std::fs::File::create(directory.path().join("both")).expect("a file");
        let (read, write) = std::io::pipe().expect("a pipe");
        let run = |to: Stdio, also: Stdio| {
            let mut command = Command::new(PROGRAM);
            command.arg("run").args(options).stdin(Stdio::null()).stdout(to).stderr(also);
            assert_eq!(command.status().expect("it runs").code(), Some(3));
        };
        run(file.try_clone().expect("a descriptor").into(), file.into());
        run(write.try_clone().expect("a descriptor").into(), write.into());
        let in_file = std::fs::read_to_string(directory.path().join("both")).expect("text");
        let in_pipe = std::io::read_to_string(read).expect("text");
        for text in [in_file, in_pipe] {
            let begins = |line: &str| line == "no-end" || line.starts_with("hook-runner: ");
            assert!(text.lines().all(begins) && text.matches("no-end\n").count() == 2, "{text}");
        }
    }
}

#[test]
fn where_no_descriptor_is_left_it_is_said() {
    for limit in 4..16 {
        let script = format!("ulimit -n {limit}; exec \"$0\" run --log data/log -- true");
        let directory = tempfile::tempdir().expect("a directory");
        let output = Command::new("sh")
            .args(["-c", &script, PROGRAM])
            .current_dir(directory.path())
            .output()
            .expect("it runs");
        if output.status.success() {
            continue;
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let status = output.status.code().expect("a status");
        assert!([70, 74].contains(&status), "{limit}: {status}: {said}");
        assert!(said.contains("Too many open files"), "{limit}: {status}: {said}");
    }
}

#[test]
fn every_volume_that_a_step_may_have_written_is_synced_after_the_last_command() {
    needs!(Program("strace"));
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("app")).expect("a source");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "trace", "-e", "trace=syncfs,execve", PROGRAM])
        .args(["run", "--log", "none", "--copy", "app:data", "--sync", "/dev/shm"])
        .args(["--", "sh", "-c", "echo new >data/created"])
        .current_dir(directory.path())
        .stderr(Stdio::null())
        .status()
        .expect("it runs");
    assert!(status.success());
    let trace = std::fs::read_to_string(directory.path().join("trace")).expect("a trace");
    let after = trace.rsplit_once("\"sh\"").expect("the command").1;
    assert!(after.matches("syncfs(").count() >= 2, "the destination's volume and the named one: {trace}");
}

#[test]
fn a_fifo_in_place_of_what_max_log_keeps_does_not_hold_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("data/.hook-runner");
    std::fs::create_dir_all(&state).expect("a directory");
    for number in 0..2 {
        let fifo = state.join(format!("tail-post-hook-output.txt.{number}"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    }
    let test = Test::within(directory).args(["run", "--log", LOG, "--max-log", "4KiB", "--", "seq", "9999"]);
    let command = test.command();
    let mut running = Running::start(command, test.into_directory());
    assert_eq!(running.end(), 0, "{}", running.read("err"));
    assert!(running.read("data/post-hook-output.txt").contains("\n9999\n"));
}

#[test]
fn a_log_that_the_command_truncates_is_74_with_its_cause_whatever_is_done_to_its_size() {
    for script in [
        ": >{}/data/post-hook-output.txt",
        "truncate -s -4 {}/data/post-hook-output.txt; truncate -s +4 {}/data/post-hook-output.txt",
        "truncate -s -4 {}/data/post-hook-output.txt; truncate -s +4000 {}/data/post-hook-output.txt",
        "truncate -s 300 {}/data/post-hook-output.txt; echo in place of it >>{}/data/post-hook-output.txt",
    ] {
        for after in ["", "; echo after"] {
            // What is printed must be in the log before it is truncated.
            let seen = "until grep -q '^important$' {}/data/post-hook-output.txt; do sleep 0.02; done";
            let script = format!("echo important; {seen}; {script}{after}");
            let done = Test::new()
                .args(["run", "--log", LOG, "--termination-log", "{}/message", "--", "sh", "-c", &script])
                .status(74)
                .any_stdout()
                .any_stderr()
                .run();
            assert!(done.stderr.contains("is not whole"), "{script}: {}", done.stderr);
            assert!(done.read("message").contains(r#""cause":"log-removed""#), "{}", done.read("message"));
            assert!(!done.log().contains("succeeded"), "{}", done.log());
        }
    }
}

#[test]
fn the_end_of_a_long_output_is_kept_whatever_the_command_does_to_the_state_directory() {
    // Again where something came into the directory meanwhile.
    let removals = [
        "rm -rf {}/data/.hook-runner/tail-*",
        "until rm -rf {}/data/.hook-runner; do :; done",
        "until rm -rf {}/data/.hook-runner; do :; done; mkdir -p {}/data/.hook-runner",
        "mv {}/data/.hook-runner {}/moved",
        "until rm -rf {}/data; do :; done; mkdir -p {}/data",
        "until rm -rf {}/data/.hook-runner && echo mine >{}/data/.hook-runner; do :; done",
    ];
    for removal in removals {
        for (script, status) in [
            (format!("{removal}; seq 9999; echo REASON; exit 3"), 3),
            (format!("seq 9999; {removal}; seq 9999; echo REASON; exit 3"), 3),
            (format!("seq 9999; {removal}; for i in 1 2 3 4; do seq 300; done; seq 9999; echo REASON"), 0),
            (format!("seq 9999; echo REASON; {removal}"), 0),
        ] {
            let done = Test::new()
                .args(["run", "--log", LOG, "--max-log", "4KiB", "--", "sh", "-c", &script])
                .status(status)
                .any_stdout()
                .any_stderr()
                .run();
            let log = done.log();
            assert!(log.contains("\n9998\n9999\nREASON\n"), "{script}: {log}");
            assert!(log.contains("are left out here") && !log.contains("missing"), "{script}: {log}");
        }
    }
}
