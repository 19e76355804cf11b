//! `run`: the main job, each row of the exit-status table by a real cause, and the files on the volume.

use crate::support::harness::{Test, eventually};

fn run<'a>(rest: &'a [&'a str]) -> Vec<&'a str> {
    [&["run", "--log", "{}/data/post-hook-output.txt"], rest].concat()
}

/// The content tree and the script of the reference hook, small.
fn reference(test: Test) -> Test {
    test.file("app/templates/index.html", "<h1>Cats vs Dogs</h1>\n").file("app/.env", "hidden\n").script(
        "config/post-install.sh",
        "#!/bin/sh\nset -e\nsed -i 's/vs/or/g' data/templates/index.html\necho edited\necho warning >&2\n",
    )
}

#[test]
fn the_reference_hook_copies_edits_and_keeps_its_log() {
    let test = reference(Test::new()).args([
        "run",
        "--copy",
        "{}/app:{}/data",
        "--wait-for",
        "file:{}/data/templates/index.html",
        "--",
        "{}/config/post-install.sh",
    ]);
    let done = test.stdout("edited\nwarning\n").stderr_contains("succeeded after").run();
    assert_eq!(done.read("data/templates/index.html"), "<h1>Cats or Dogs</h1>\n");
    assert_eq!(done.read("data/.env"), "hidden\n");
    let log = done.log();
    for line in ["=== hook-runner: attempt 1 of run ", "\nedited\nwarning\n", "=== end of attempt ===\n"] {
        assert!(log.contains(line), "{line:?} in {log}");
    }
}

#[test]
fn a_second_release_edits_again_and_a_second_copy_of_the_same_release_copies_nothing() {
    let arguments = ["run", "--copy", "{}/app:{}/data", "--", "{}/config/post-install.sh"];
    let done = reference(Test::new()).args(arguments).any_stdout().any_stderr().run();
    let again = done.then().args(arguments).any_stdout().stderr_contains("succeeded").run();
    assert_eq!(again.read("data/templates/index.html"), "<h1>Cats or Dogs</h1>\n");
    let next = again.then().file("app/templates/index.html", "<h1>Tea vs Coffee</h1>\n").args(arguments);
    let next = next.any_stdout().any_stderr().run();
    assert_eq!(next.read("data/templates/index.html"), "<h1>Tea or Coffee</h1>\n");
}

#[test]
fn the_commands_own_status_is_passed_on_and_both_streams_are_kept() {
    let test = Test::new().args(run(&["--", "sh", "-c", "echo out; echo err >&2; exit 3"]));
    let done = test.status(3).stdout("out\nerr\n").stderr_contains("failed with status 3").run();
    assert!(done.log().contains("\nout\nerr\n"), "{}", done.log());
    assert!(done.log().contains("failed     sh exited with 3\n"), "{}", done.log());
}

#[test]
fn a_death_by_a_signal_is_128_plus_its_number() {
    Test::new()
        .args(run(&["--", "sh", "-c", "kill -USR1 $$"]))
        .status(128 + 10)
        .stderr_contains("sh died of signal 10")
        .run();
}

#[test]
fn a_wait_that_is_not_met_is_69() {
    Test::new()
        .args(run(&["--wait-for", "file:{}/nothing", "--wait-timeout", "100ms", "--", "echo", "not reached"]))
        .status(69)
        .stderr_contains("file:{}/nothing was not met within")
        .run();
}

#[test]
fn a_path_that_can_be_no_log_is_78_before_any_step() {
    let test =
        Test::new().file("data/post-hook-output.txt/in-the-way", "").args(run(&["--", "touch", "{}/ran"]));
    let done = test.status(78).stderr_contains("{}/data/post-hook-output.txt is a directory").run();
    assert!(!done.path("ran").exists(), "no step was run");
}

#[test]
fn what_can_be_no_log_is_named_and_nothing_is_made_beside_it() {
    for make in ["mkdir", "mkfifo"] {
        let test = Test::new().file("data/x", "").args(["run", "--log", "{}/data/log", "--", "echo", "ran"]);
        let directory = test.command().get_current_dir().expect("set").to_path_buf();
        let made = std::process::Command::new(make).arg(directory.join("data/log")).status();
        assert!(made.expect("there").success());
        let done = test
            .status(78)
            .stderr_contains("{}/data/log is a")
            .stderr_contains("give --log another path")
            .run();
        assert!(!done.path("data/.hook-runner").exists(), "{make}");
    }
}

#[test]
fn what_a_link_in_the_logs_place_leads_to_is_left_alone() {
    for link in [true, false] {
        let test = Test::new().file("elsewhere", "mine\n").file("data/x", "");
        let test = test.args(run(&["--", "true"]));
        let directory = test.command().get_current_dir().expect("set").to_path_buf();
        let log = directory.join("data/post-hook-output.txt");
        if link {
            std::os::unix::fs::symlink(directory.join("elsewhere"), &log).unwrap();
        } else {
            std::fs::hard_link(directory.join("elsewhere"), &log).unwrap();
        }
        // Text under the default name is adopted: where it has another name, as a copy.
        let status = if link { 78 } else { 0 };
        let done = test.status(status).stderr_contains("{}/data/post-hook-output.txt").run();
        assert_eq!(done.read("elsewhere"), "mine\n", "nothing was written through the link");
    }
}

#[test]
fn another_run_that_holds_the_volume_is_75_and_is_named() {
    let first =
        Test::new().args(run(&["--run-id", "first", "--", "sh", "-c", "touch {}/running; exec sleep 60"]));
    let directory = first.command().get_current_dir().expect("set").to_path_buf();
    let mut holder = first.command().spawn().unwrap();
    eventually("the first run holds the lock", || directory.join("running").exists().then_some(()));
    let log = directory.join("data/post-hook-output.txt");
    Test::new()
        .args(["run", "--lock-timeout", "100ms", "--log"])
        .args([&log])
        .args(["--", "true"])
        .status(75)
        .stderr_contains("another run holds the volume")
        .stderr_contains("run first")
        .run();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(holder.id()).unwrap()),
        nix::sys::signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(holder.wait().unwrap().code(), Some(143));
}

#[test]
fn a_hook_that_is_wrong_is_78_and_changes_nothing() {
    let cases: &[(&[&str], &str)] = &[
        (&["run", "--", "true"], "there is no place for the preserved log"),
        (&["run", "--log", "none"], "the hook has no steps"),
        (&["run", "--copy", "nocolon"], "expected SRC:DST"),
        (&["run", "--timeot", "5s", "--", "true"], "there is no option --timeot; is `--timeout` meant?"),
        (&["run", "--zzz", "--", "true"], "`hook-runner run --help` lists what there is"),
        (&["copi", "a", "b"], "is `copy` meant?"),
        (&["frobnicate"], "`hook-runner --help` lists what there is"),
        (&["run", "--log", "none", "--timeout", "4x", "--", "true"], "as in 30s or 1h30m"),
        (&["run", "--log", "none", "--wait-for", "smtp:x"], "file:PATH, tcp:HOST:PORT"),
        (&["run", "--log", "none", "--run-id", "../x", "--", "true"], "the run id '../x' cannot name a file"),
        (&["run", "--hook", "{}/none.yaml"], "the hook file {}/none.yaml cannot be read"),
        (&["run", "--log", "{}/data/log", "--copy", "{}/missing:{}/data"], "missing"),
        (&["run", "--log", "", "--", "true"], "'' names no file"),
        (&["run", "--log", "/", "--", "true"], "'/' names no file"),
        (&["run", "--log", "{}/data/", "--", "true"], "'{}/data/' names no file"),
        (&["run", "--log", "{}/..", "--", "true"], "'{}/..' names no file"),
        (&["run", "--log", "none", "--timeout", "0", "--", "true"], "0 is over before anything has begun"),
        (
            &["run", "--log", "none", "--exec-timeout", "0s", "--", "true"],
            "0s is over before anything has begun",
        ),
        (&["run", "--log", "none", "--", "", "x"], "the command's name is empty"),
        (&["run", "--log", "data/log", "--max-log", "0", "--", "true"], "0 leaves nothing; give more"),
        (&["run", "--log", "data/log", "--keep", "x", "--", "true"], "expected a whole one such as 3"),
        (&["run", "--log", "data/log", "--retries", "1.5", "--", "true"], "expected a whole one such as 3"),
        (&["run", "--copy", "a:data", "--workers", "0", "--", "true"], "expected a whole one such as 3"),
        (&["run", "--log", "none", "true"], "behind `--`, as in `hook-runner run -- COMMAND`"),
        (
            &["run", "--log", "data/log", "--log-mode", "999", "--", "true"],
            "expected octal digits such as 0640",
        ),
        (&["run", "--log", "data/log", "--annotate", "--", "true"], "--annotate needs --split-streams"),
        (&["run", "--copy", "a:data", "--shard", "4/4"], "with I from 0 to N-1"),
        (&["run", "--copy", "a:data", "--shard", "auto"], "JOB_COMPLETION_INDEX is not set"),
        (&["run", "--copy", "a:data", "--chown", "root"], "UID:GID in numbers"),
        (&["run", "--copy", "a:data", "--policy", "newest"], "none of replace, keep-modified, missing"),
        (&["run", "--log", "data/log", "--redact-file", "nothing", "--", "true"], "mount the Secret there"),
    ];
    for (arguments, expected) in cases {
        let done = Test::new().args(*arguments).status(78).stderr_contains(*expected).run();
        assert_eq!(done.stderr.lines().count(), 1, "one sentence: {}", done.stderr);
        let left = std::fs::read_dir(done.path("")).unwrap().count();
        assert_eq!(left, 0, "nothing is made: {arguments:?}");
    }
}

#[test]
fn a_wrong_value_of_the_environment_is_78_and_names_the_variable() {
    for (variable, value, expected) in [
        ("HOOK_RUNNER_TIMEOUT", "4x", "HOOK_RUNNER_TIMEOUT: '4x' is no duration"),
        (
            "HOOK_RUNNER_SPLIT_STREAMS",
            "maybe",
            "HOOK_RUNNER_SPLIT_STREAMS: 'maybe' is neither true nor false",
        ),
        ("HOOK_RUNNER_RUN_ID", "a/b", "HOOK_RUNNER_RUN_ID: the run id 'a/b' cannot name a file"),
        ("HOOK_RUNNER_TERMINATION_GRACE_PERIOD", "soon", "expected the pod's terminationGracePeriodSeconds"),
    ] {
        let done = Test::new().env(variable, value).args(run(&["--", "true"]));
        let done = done.status(78).stderr_contains(expected).run();
        assert!(!done.path("data").exists(), "{variable}: nothing is changed");
    }
    // Where the command line says it, the environment is not to blame.
    let done = Test::new().env("HOOK_RUNNER_TIMEOUT", "1m").args(run(&["--timeout", "4x", "--", "true"]));
    let done = done.status(78).stderr_contains("'4x' is no duration").run();
    assert!(!done.stderr.contains("HOOK_RUNNER_TIMEOUT"), "{}", done.stderr);
}

#[test]
fn time_that_is_over_is_124_for_the_attempt_and_for_a_step() {
    Test::new()
        .args(run(&["--timeout", "2s", "--", "sleep", "60"]))
        .status(124)
        .stderr_contains("ran out of the attempt's time of 2s")
        .run();
    Test::new()
        .args(run(&["--exec-timeout", "2s", "--", "sleep", "60"]))
        .status(124)
        .stderr_contains("ran out of the step's time of 2s")
        .run();
}

#[test]
fn a_wait_that_the_attempts_time_ends_is_124_however_long_it_might_have_taken() {
    let done = Test::new()
        .args(run(&["--timeout", "2s", "--wait-timeout", "1h"]))
        .args(["--wait-for", "file:{}/nothing", "--", "echo", "not reached"])
        .status(124)
        .stderr_contains("the attempt's time of 2s was over: file:{}/nothing was not met")
        .run();
    assert!(done.log().contains("failed with status 124"), "{}", done.log());
}

#[test]
fn a_command_that_cannot_be_executed_is_126_and_a_missing_one_127() {
    Test::new()
        .file("script.sh", "#!/bin/sh\n")
        .args(run(&["--", "{}/script.sh"]))
        .status(126)
        .stderr_contains("defaultMode: 0555")
        .run();
    Test::new()
        .script("script.sh", "#!/bin/sh\r\necho\r\n")
        .args(run(&["--", "{}/script.sh"]))
        .status(126)
        .stderr_contains("CRLF")
        .run();
    Test::new().args(run(&["--", "no-such-command"])).status(127).stderr_contains("not found in PATH").run();
}

#[test]
fn a_retry_appends_and_a_new_run_archives() {
    let arguments = |run: &'static str, status: &'static str| {
        ["run", "--run-id", run, "--log", "{}/data/post-hook-output.txt", "--", "sh", "-c", status]
    };
    let done =
        Test::new().args(arguments("a", "echo one; exit 3")).status(3).stdout("one\n").any_stderr().run();
    let done = done.then().args(arguments("a", "echo two")).stdout("two\n").any_stderr().run();
    let log = done.log();
    assert!(log.contains("\none\n") && log.contains("\ntwo\n"), "{log}");
    assert!(log.contains("before     attempt 1 ended at "), "{log}");
    let done = done.then().args(arguments("b", "echo three")).stdout("three\n").any_stderr().run();
    assert!(!done.log().contains("\none\n"), "a new run starts a new log");
    assert_eq!(
        done.read("data/.hook-runner/histories/post-hook-output.txt/a.log"),
        log,
        "the earlier one is archived as it was"
    );
    let done = done.then().args(arguments("a", "echo four")).stdout("four\n").any_stderr().run();
    assert!(done.log().starts_with(&log), "a late retry finds its own log again");
    assert!(done.path("data/.hook-runner/histories/post-hook-output.txt/b.log").exists());
}

#[test]
fn an_attempt_that_was_killed_is_shown_as_interrupted_by_the_next() {
    let test = Test::new().args(run(&["--run-id", "a", "--", "sh", "-c", "echo begun; exec sleep 60"]));
    let directory = test.command().get_current_dir().expect("set").to_path_buf();
    let mut killed = test.command().stdout(std::process::Stdio::null()).spawn().unwrap();
    let log = || std::fs::read_to_string(directory.join("data/post-hook-output.txt")).unwrap_or_default();
    // What nobody has taken from the pipe goes with the runner.
    eventually("what the command says is taken", || log().contains("\nbegun\n").then_some(()));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let output = Test::within(tempfile::tempdir().unwrap())
        .args(["run", "--run-id", "a", "--log"])
        .args([directory.join("data/post-hook-output.txt")])
        .args(["--", "echo", "again"])
        .command()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let log = std::fs::read_to_string(directory.join("data/post-hook-output.txt")).unwrap();
    assert!(log.contains("begun\n"), "what was printed up to then is on the volume: {log}");
    assert!(log.contains("attempt 1 was interrupted"), "{log}");
}

#[test]
fn the_summary_is_json_in_the_termination_message() {
    // The file of a container that is started again holds what the one before it said.
    let test = Test::new()
        .file("termination", "x".repeat(5000))
        .args(run(&["--termination-log", "{}/termination", "--run-id", "a", "--", "sh", "-c", "exit 7"]))
        .status(7)
        .any_stderr();
    let done = test.run();
    let message: serde_json::Value = serde_json::from_str(&done.read("termination")).expect("JSON");
    assert_eq!(message["status"], 7);
    assert_eq!(message["run"], "a");
    assert_eq!(message["failure"]["message"], "sh exited with 7");
}

#[test]
fn flags_and_a_hook_file_describe_the_same_hook_and_flags_win() {
    let file = "log: post-hook-output.txt\ntimeout: 1h\nsteps:\n  - exec: {command: [echo, from the file]}\n";
    Test::new()
        .file("hook.yaml", file)
        .args(["run", "--hook", "hook.yaml"])
        .stdout("from the file\n")
        .any_stderr()
        .run();
    Test::new()
        .file("hook.yaml", file)
        .args(["run", "--hook", "hook.yaml", "--", "echo", "from the flag"])
        .stdout("from the flag\n")
        .any_stderr()
        .run();
    // The environment beats the file, a flag beats the environment.
    Test::new()
        .file("hook.yaml", "log: none\ntimeout: 1h\nsteps:\n  - exec: {command: [sleep, '60']}\n")
        .env("HOOK_RUNNER_TIMEOUT", "100ms")
        .args(["run", "--hook", "hook.yaml"])
        .status(124)
        .stderr_contains("100ms")
        .run();
    Test::new()
        .env("HOOK_RUNNER_TIMEOUT", "1ns")
        .args(["run", "--log", "none", "--timeout", "1m", "--", "echo", "in time"])
        .stdout("in time\n")
        .any_stderr()
        .run();
}

#[test]
fn check_names_line_and_column_and_what_was_expected() {
    Test::new()
        .file("hook.yaml", "log: none\nsteps:\n  - copy: {from: /app, too: /data}\n")
        .args(["check", "hook.yaml"])
        .status(78)
        .stderr_contains("hook.yaml:3:24: `too` is no key of a copy; is `to` meant?")
        .run();
    Test::new()
        .file("hook.yaml", "log: none\nsteps: []\n")
        .args(["check", "hook.yaml"])
        .status(78)
        .stderr_contains("hook.yaml:2:8: steps: an empty list of steps")
        .run();
    Test::new()
        .file("hook.yaml", "log: none\nsteps:\n  - exec: {command: [sh, -c, 'echo hi']}\n")
        .args(["check", "hook.yaml"])
        .stdout("hook.yaml: a hook with 1 step\n1. exec sh -c 'echo hi'\n")
        .run();
}

#[test]
fn install_puts_a_working_copy_into_a_shared_directory() {
    use std::os::unix::fs::PermissionsExt;
    let done = Test::new().file("shared/x", "").args(["install", "{}/shared"]).run();
    let installed = done.path("shared/hook-runner");
    assert_eq!(std::fs::metadata(&installed).unwrap().permissions().mode() & 0o7777, 0o755);
    let version = std::process::Command::new(&installed).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("hook-runner "));
    let names: Vec<_> =
        std::fs::read_dir(done.path("shared")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "no temporary file is left: {names:?}");
    Test::new().args(["install", "{}/nowhere"]).status(78).stderr_contains("is not a directory").run();
}

#[test]
fn the_schema_the_manual_and_the_completions_are_printed() {
    let done = Test::new().args(["schema"]).any_stdout().run();
    let schema: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(schema["title"], "hook-runner hook file");
    Test::new().args(["man"]).stdout_contains(".TH").run();
    Test::new().args(["completions", "bash"]).stdout_contains("_hook_runner()").run();
}
