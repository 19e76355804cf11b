//! What the command line and the environment may say, and what is said of them when they are wrong.

use serde_json::Value;

use crate::support::harness::{PROGRAM, Test};

/// A run of `true` without a log, which says nothing but its summary.
fn run(options: &[&str]) -> Test {
    Test::new().args(["run", "--log", "none"]).args(options).args(["--", "true"])
}

#[test]
fn the_last_of_an_option_given_twice_wins_and_lists_add_up() {
    run(&["--timeout=1s", "--timeout=2m", "--timestamps", "--timestamps=false"]).any_stderr().run();
    let done = Test::new()
        .args(["check", "--log=a/", "--log=none", "--copy", "a:b", "--copy", "c:d"])
        .status(78)
        .stderr_contains("'a/' names no file");
    done.run();
    Test::new()
        .args(["check", "--log=a", "--log=none", "--copy", "a:b", "--copy", "c:d"])
        .stdout("the command line: a hook with 2 steps\n1. copy a to b\n2. copy c to d\n")
        .run();
}

#[test]
fn an_empty_variable_is_an_unset_one_for_every_option() {
    let help = Test::new().args(["run", "--help"]).any_stdout().run().stdout;
    let variables: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("[env: "))
        .filter_map(|line| line.strip_suffix(']'))
        .collect();
    assert!(variables.len() > 35, "{variables:?}");
    let test = variables.iter().fold(run(&[]), |test, variable| test.env(variable, ""));
    let done = test.any_stderr().run();
    assert_eq!(done.stderr.lines().count(), 1, "the summary alone: {}", done.stderr);
}

#[test]
fn a_variable_that_nobody_reads_is_told_with_the_one_that_is_meant() {
    run(&[])
        .env("HOOK_RUNNER_TIMOUT", "5m")
        .stderr_contains("HOOK_RUNNER_TIMOUT is no variable of hook-runner and has no effect; is HOOK_RUNNER_TIMEOUT meant?")
        .run();
    // Known, but of another command; empty; a Service's; the charts'.
    for (name, value) in [
        ("HOOK_RUNNER_CONTAINER", "x"),
        ("HOOK_RUNNER_NONSENSE", ""),
        ("HOOK_RUNNER_SERVICE_HOST", "10.0.0.1"),
        ("HOOK_RUNNER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("HOOK_RUNNER_CHART", "vote-1.0.0"),
    ] {
        let done = run(&[]).env(name, value).any_stderr().run();
        assert!(!done.stderr.contains(name), "{}", done.stderr);
    }
}

#[test]
fn wrong_usage_leaves_a_termination_message_wherever_it_is_asked_for() {
    let cases: [(&[&str], &[(&str, &str)], &str); 8] = [
        (&["run", "--termination-log", "t", "--nope", "--", "true"], &[], "--nope"),
        (&["run", "--nope", "--termination-log=t", "--", "true"], &[], "--nope"),
        (&["run", "--timeout", "4M", "--", "true"], &[("HOOK_RUNNER_TERMINATION_LOG", "t")], "is 4m meant?"),
        (&["run", "--termination-log=t"], &[("HOOK_RUNNER_KEEP", "x")], "HOOK_RUNNER_KEEP"),
        (&["run", "--termination-log=t", "--hook", "hook.yaml"], &[], "hook.yaml:1:1: `step` is no key"),
        (&["copy", "--termination-log=t", "none", "data"], &[], "the source none does not exist"),
        (&["install", "--termination-log=t", "none"], &[], "none is not a directory"),
        (&["sidecar", "--termination-log=t", "--container", "x"], &[], "--log is missing"),
    ];
    for (arguments, variables, expected) in cases {
        let test = Test::new().file("hook.yaml", "step: []\n").args(arguments);
        let test = variables.iter().fold(test, |test, (name, value)| test.env(name, value));
        let done = test.status(78).stderr_contains(expected).run();
        let message: Value = serde_json::from_str(&done.read("t")).expect("JSON");
        assert_eq!((&message["status"], &message["result"]), (&78.into(), &"config".into()), "{arguments:?}");
        let text = message["failure"]["message"].as_str().expect("a sentence");
        assert!(done.stderr.contains(text), "{arguments:?}: {text}");
    }
}

#[test]
fn copy_and_install_leave_a_termination_message_when_they_succeed() {
    let test = Test::new().file("app/f", "x").file("bin/.keep", "");
    let done = test.args(["copy", "--termination-log", "t", "app", "data"]).any_stdout().run();
    let message: Value = serde_json::from_str(&done.read("t")).expect("JSON");
    assert_eq!((&message["status"], &message["steps"][0]["step"]), (&0.into(), &"copy app to data".into()));
    let done = done.then().args(["install", "--termination-log", "t", "bin"]).run();
    let message: Value = serde_json::from_str(&done.read("t")).expect("JSON");
    assert_eq!((&message["status"], &message["steps"][0]["step"]), (&0.into(), &"install into bin".into()));
}

#[test]
fn reading_commands_leave_the_termination_message_of_the_container_alone() {
    let done = Test::new()
        .env("HOOK_RUNNER_TERMINATION_LOG", "t")
        .args(["logs", "--nope"])
        .status(78)
        .stderr_contains("there is no option --nope")
        .run();
    assert!(!done.path("t").exists());
}

#[test]
fn no_color_is_honoured_and_a_dumb_terminal_gets_none() {
    let colour = |name: &str, value: &str| {
        let output = std::process::Command::new("script")
            .args(["-qec", &format!("{PROGRAM} logs --nope"), "/dev/null"])
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .env(name, value)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("script is there");
        let screen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(screen.contains("there is no option --nope"), "{screen}");
        screen.contains("\u{1b}[31m")
    };
    assert!(colour("NO_COLOR", ""), "an empty one does not count");
    assert!(!colour("NO_COLOR", "1"));
    assert!(!colour("TERM", "dumb"));
}

#[test]
fn no_refusal_prints_the_password_of_a_url() {
    for condition in [
        "http://admin:S3cretPw9@h/",
        "https://admin:S3cretPw9@h:99999/",
        "http://admin%3AS3cretPw9%40h/",
        "tcp:admin:S3cretPw9@h:1",
        "htp://admin:S3cretPw9@h/",
        "http://a:S3cretPw9/x\"y@h/",
        "http://admin:S3cretPw9",
    ] {
        let file = format!("log: none\nsteps:\n- wait: {{for: '{condition}'}}\n");
        for test in [
            run(&["--termination-log=t", "--wait-for", condition]),
            run(&["--termination-log=t", &format!("--wait-fr={condition}")]),
            run(&["--termination-log=t"]).env("HOOK_RUNNER_WAIT_FOR", condition),
            Test::new().file("hook.yaml", &file).args(["run", "--termination-log=t", "--hook", "hook.yaml"]),
            Test::new().file("hook.yaml", &file).args(["check", "hook.yaml"]),
        ] {
            let done = test.status(78).any_stdout().any_stderr().run();
            let message = std::fs::read_to_string(done.path("t")).unwrap_or_default();
            let said = format!("{}{}{message}", done.stdout, done.stderr);
            assert!(!said.is_empty() && !said.contains("S3cretPw9"), "{condition}: {said}");
        }
    }
}

#[test]
fn check_takes_several_files_stdin_and_the_flags_of_run() {
    let done = Test::new()
        .file("good.yaml", "steps: [{copy: {from: a, to: b, shard: auto}}]\n")
        .file("wrong.yaml", "step: []\n")
        .file("flags.yaml", "steps: [{exec: {command: [x]}}]\n")
        .args(["check", "--log", "none", "-", "wrong.yaml", "good.yaml", "flags.yaml"])
        .stdin("steps: [{exec: {command: [from, stdin]}}]\n")
        .status(78)
        .stdout_contains("stdin: a hook with 1 step\n1. exec from stdin\n")
        .stdout_contains("good.yaml: a hook with 1 step\n1. copy a to b\n")
        .stdout_contains("flags.yaml: a hook with 1 step\n")
        .stderr_contains("wrong.yaml:1:1: `step` is no key of a hook; is `steps` meant?")
        .run();
    assert!(!done.path("b").exists());
    Test::new()
        .args(["check", "--copy", "a:b", "--policy=keep", "--", "x"])
        .status(78)
        .stderr_contains("--policy")
        .run();
}

#[test]
fn a_copy_that_cannot_work_is_78_from_run_and_from_copy_and_makes_nothing() {
    for (from, to, expected) in [
        ("none", "new/data", "the source none does not exist"),
        ("app", "file", "the destination file is not a directory"),
        ("app", "file/data", "file is a file"),
        ("app", "app", "are the same"),
        ("app", "app/data", "is inside"),
        ("app/inner", "app", "is inside"),
    ] {
        let test = || Test::new().file("app/inner/f", "x").file("file", "y");
        let pair = format!("{from}:{to}");
        for test in [
            test().args(["copy", from, to]),
            test().args(["run", "--copy", &pair]),
            test().args(["run", "--log", "new/log", "--copy", &pair, "--", "true"]),
        ] {
            let done = test.status(78).stderr_contains(expected).run();
            let mut left: Vec<_> =
                std::fs::read_dir(done.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
            left.sort();
            assert_eq!(left, ["app", "file"], "{from} to {to}");
            assert_eq!(std::fs::read_dir(done.path("app")).unwrap().count(), 1, "{from} to {to}");
        }
    }
}

#[test]
fn a_step_may_make_the_source_of_a_copy_after_it() {
    let file = "log: none\nsteps:\n- exec: {command: [sh, -c, 'mkdir made; echo x >made/f']}\n- copy: {from: made, to: data}\n";
    let done = Test::new().file("hook.yaml", file).args(["run", "--hook", "hook.yaml"]).any_stderr().run();
    assert_eq!(done.read("data/f"), "x\n");
}
