//! What a sentence says of a value that a user gave: whose it is, on one line, in our words.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::harness::Test;

#[test]
fn a_value_that_begins_with_a_dash_is_told_as_the_value_of_its_option() {
    for (words, option) in [
        (["run", "--keep", "-1"], "--keep: '-1'"),
        (["run", "--keep-days", "-1"], "--keep-days: '-1'"),
        (["run", "--retries", "-1"], "--retries: '-1'"),
        (["run", "--max-log", "-5MiB"], "--max-log: '-5MiB'"),
        (["run", "--timeout", "-5s"], "--timeout: '-5s'"),
        (["run", "--wait-status", "-200"], "--wait-status: '-200'"),
        (["copy", "--lock-timeout", "-1m"], "--lock-timeout: '-1m'"),
        (["logs", "--tail", "-1"], "--tail: '-1'"),
        (["logs", "-n", "-1"], "--tail: '-1'"),
        (["logs", "--since", "-2h"], "--since: '-2h'"),
        (["history", "-n", "-1"], "--number: '-1'"),
        (["report", "--until", "-2h"], "--until: '-2h'"),
        (["run", "--log", "-x"], "stands behind `=`, as in `--log=-…`"),
    ] {
        Test::new().args(words).status(78).stderr_contains(option).run();
    }
    let done = Test::new().args(["run", "--redact", "-S3cret"]).status(78).any_stderr().run();
    assert!(!done.stderr.contains("S3cret"), "{}", done.stderr);
}

#[test]
fn of_a_value_that_is_not_utf8_the_option_or_variable_is_told() {
    let bytes = |text: &'static [u8]| OsStr::from_bytes(text);
    for (words, name) in [
        (vec![bytes(b"--log"), bytes(b"\xff"), bytes(b"--timeout"), bytes(b"\xff")], "--timeout"),
        (vec![bytes(b"--redact-env=\xff"), bytes(b"--log=x")], "--redact-env"),
    ] {
        let test = Test::new().args(["run"]).args(words);
        test.status(78).stderr_contains(format!("{name} is not UTF-8 text")).run();
    }
    let output = Test::new()
        .args(["run"])
        .command()
        .env("HOOK_RUNNER_LOG", bytes(b"\xff"))
        .env("HOOK_RUNNER_RUN_ID", bytes(b"\xff"))
        .output()
        .expect("it starts");
    assert!(String::from_utf8_lossy(&output.stderr).contains("HOOK_RUNNER_RUN_ID is not UTF-8 text"));
}

#[test]
fn no_value_breaks_the_line_of_its_sentence_or_reaches_the_terminal() {
    let hook = "\"\\e[31m\\nfoo\": 1\n";
    let script = "echo \u{1b}[31m\ntrue";
    for (words, status) in [
        (vec!["check", "hook.yaml"], 78),
        (vec!["run", "--timeout", "\u{1b}[31m\nx"], 78),
        (vec!["run", "--no\u{1b}[31m\n"], 78),
        (vec!["run", "--copy", "\u{1b}[31m\nx:d"], 78),
        (vec!["run", "--log", "none", "--redact-env", "\u{1b}[31m\n", "--", "true"], 0),
        (vec!["run", "--log", "none", "--", "\u{1b}[31m\nx"], 127),
        (vec!["run", "--log", "none", "--log-format", "text", "--", "sh", "-c", script], 0),
        (vec!["copy", "\u{1b}[31m\nx", "d"], 78),
        (vec!["install", "\u{1b}[31m\nx"], 78),
        (vec!["logs", "\u{1b}[31m\nx"], 78),
        (vec!["diff", "\u{1b}[31m\nx"], 78),
        (vec!["verify", "\u{1b}[31m\nx"], 78),
        (vec!["\u{1b}[31m\nx"], 78),
    ] {
        let test = Test::new().file("hook.yaml", hook).args(&words);
        let done = test.status(status).any_stdout().any_stderr().run();
        assert!(!done.stderr.contains('\u{1b}'), "{words:?}: {}", done.stderr);
        assert!(
            done.stderr.lines().all(|line| line.starts_with("hook-runner: ")),
            "{words:?}: {}",
            done.stderr
        );
    }
}

#[test]
fn a_word_of_the_command_line_is_one_value_and_a_variable_holds_one_a_line() {
    let steps = "the command line: a hook with 2 steps\n1. copy a to b\n2. copy c to d\n";
    let check = || Test::new().args(["check", "--log", "none"]);
    check().env("HOOK_RUNNER_COPY", "a:b\nc:d").stdout(steps).run();
    check().env("HOOK_RUNNER_COPY", "\na:b\n\nc:d\n").stdout(steps).run();
    let wrong = check().env("HOOK_RUNNER_COPY", "a:b\nc\n").status(78);
    wrong.stderr_contains("HOOK_RUNNER_COPY: 'c' does not name").run();
    let done = check().args(["--copy", "a\nb:c"]).env("HOOK_RUNNER_COPY", "c:d\ne:f").any_stdout().run();
    assert_eq!(done.stdout.matches("copy ").count(), 1, "{}", done.stdout);
    let command = ["--log", "none", "--redact", "ab\nsecond-line", "--", "printf", "ab\nsecond-line\n"];
    Test::new().args(["run"]).args(command).stdout("***\n").any_stderr().run();
}

#[test]
fn a_reader_says_what_is_wrong_with_a_number_or_an_expression_in_its_own_words() {
    for option in ["--attempt", "--step", "--tail"] {
        let expected = "is not a number that fits; expected a whole one such as 3";
        Test::new().args(["logs", option, "x"]).status(78).stderr_contains(expected).run();
    }
    for expression in ["(", "a{99999999}", "[", "*"] {
        let expected = format!("--grep: '{expression}' is no regular expression");
        Test::new().args(["logs", "--grep", expression]).status(78).stderr_contains(expected).run();
    }
}

#[test]
fn one_thing_is_missing_and_two_are() {
    Test::new().args(["copy"]).status(78).stderr_contains("SOURCE and DESTINATION are missing").run();
    Test::new().args(["copy", "a"]).status(78).stderr_contains("DESTINATION is missing").run();
}

#[test]
fn how_a_repeatable_option_is_given_as_a_variable_is_said_where_it_is_looked_for() {
    let help = Test::new().args(["run", "--help"]).any_stdout().run().stdout;
    assert!(help.contains("The variable of a repeatable option holds one value a line."), "{help}");
    let page = Test::new().args(["man", "run"]).any_stdout().run().stdout;
    assert!(page.contains("which overrides it; one value a line."), "{page}");
    for several in ["a:d b:d", "a:d,b:d"] {
        let test = Test::new().args(["run", "--log", "none"]).env("HOOK_RUNNER_COPY", several);
        test.status(78).stderr_contains("or a line of HOOK_RUNNER_COPY").run();
    }
}

#[test]
fn quotes_in_a_command_that_is_waited_for_are_refused_before_anything_is_made() {
    for condition in ["exec:sh -c 'echo x; false'", "exec:test -e \"a b\""] {
        let test = Test::new().args(["run", "--log", "l/log", "--wait-for", condition, "--", "true"]);
        let done = test.status(78).stderr_contains("write the command in a hook file as a list").run();
        assert!(!done.path("l").exists());
        let file = format!("log: none\nsteps: [{{wait: {{for: {}}}}}]\n", serde_json::json!(condition));
        let test = Test::new().file("hook.yaml", file).args(["check", "hook.yaml"]);
        test.status(78).stderr_contains("write the command in a hook file as a list").run();
    }
}

/// An empty version once made two images look the same: the second was not copied.
#[test]
fn an_empty_name_version_or_pattern_is_refused_before_anything_is_made() {
    for option in
        ["--owner=", "--source-version=", "--exclude=", "--include=#x", "--wait-auth-env=", "--redact-env="]
    {
        let words =
            ["run", "--log", "log", "--copy", "app:data", "--wait-for", "http://127.0.0.1:1/", option];
        let name = option.split('=').next().expect("a name");
        let test = Test::new().file("app/a", "x").args(words);
        let done = test.status(78).stderr_contains(format!("{name}: ")).run();
        assert!(!done.path("data").exists() && !done.path("log").exists(), "{option}");
    }
    Test::new()
        .args(["sidecar", "--container=", "--log", "l"])
        .status(78)
        .stderr_contains("--container: ")
        .run();
    let both = "log: none\nsteps: [{wait: {for: 'http://a/', auth-env: A, auth-file: b}}]\n";
    Test::new()
        .file("hook.yaml", both)
        .args(["check", "hook.yaml"])
        .status(78)
        .stderr_contains("keep one of them")
        .run();
}

#[test]
fn an_option_that_means_nothing_alone_says_which_one_it_needs() {
    for option in ["--forever", "--exit-status"] {
        Test::new().args(["logs", option]).status(78).stderr_contains("needs --follow").run();
    }
    Test::new().args(["diff", "a", "b", "c"]).status(78).stderr_contains("RUN is given more often").run();
    let done =
        Test::new().args(["copy", "a", ""]).status(78).stderr_contains("DESTINATION needs a value").run();
    assert!(!done.stderr.contains('<'), "{}", done.stderr);
    Test::new().args(["verify", "nowhere"]).status(78).stderr_contains("that a copy was made into").run();
}
