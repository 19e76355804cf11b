//! `logs` and `history`: what an on-call engineer reads when the pod is gone.

use crate::support::harness::{Done, Test};

fn attempt(test: Test, run: &str, script: &str, status: i32) -> Done {
    test.args(["run", "--run-id", run, "--log", "{}/data/post-hook-output.txt", "--", "sh", "-c", script])
        .env("HOOK_RUNNER_RELEASE", "vote")
        .env("HOOK_RUNNER_REVISION", "3")
        .env("HOOK_RUNNER_HOOK_EVENT", "post-upgrade")
        .env("HOOK_RUNNER_JOB", "vote-hook")
        .env("HOOK_RUNNER_POD", "vote-hook-x7f2p")
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

fn objects(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn logs_prints_the_last_run_a_given_one_and_what_failed() {
    let done = three_attempts();
    let done = done.then().args(["logs", "{}/data"]).stdout_contains("\nthree\n").run();
    assert!(!done.stdout.contains("\none\n"));
    let done = done.then().args(["logs", "data", "--run", "aa"]).stdout_contains("\none\n").run();
    assert!(done.stdout.contains("\ntwo\n"));
    let done =
        done.then().args(["logs", "data", "--run", "aaa", "--attempt", "2"]).stdout_contains("\ntwo\n").run();
    assert!(!done.stdout.contains("\none\n"));
    let done = done.then().args(["logs", "data", "--failed"]).stdout_contains("\none\n").run();
    assert!(!done.stdout.contains("\ntwo\n") && !done.stdout.contains("\nthree\n"));
    let done =
        done.then().args(["logs", "data/post-hook-output.txt", "--all"]).stdout_contains("\none\n").run();
    assert!(done.stdout.contains("\nthree\n"));
    let done = done
        .then()
        .args(["logs", "data", "--run", "zzz"])
        .status(78)
        .stderr_contains("no run's id begins with 'zzz'");
    done.run();
}

#[test]
fn the_beginning_of_several_ids_is_refused_with_the_list() {
    let mut done = Test::new().args(["--version"]).any_stdout().run();
    for run in ["3f2a-one", "3f2b-two", "3f2a"] {
        done = attempt(done.then(), run, "true", 0);
    }
    let done = done.then().args(["logs", "data", "--run", "3f"]).status(78);
    let done = done.stderr_contains("3f2a, 3f2a-one, 3f2b-two").run();
    // A whole id is no beginning.
    done.then().args(["logs", "data", "--run", "3f2a"]).stdout_contains("of run 3f2a (").run();
}

/// The fields are the schema's (docs/formats.md), the same for both commands.
#[test]
fn both_commands_print_one_schema() {
    let done = three_attempts().then().args(["logs", "data", "--all", "--json"]).any_stdout().run();
    let mut logs = objects(&done.stdout);
    assert_eq!(logs.len(), 3);
    assert_eq!((&logs[0]["output"], &logs[2]["output"]), (&"one\n".into(), &"three\n".into()));
    assert_eq!((&logs[0]["status"], &logs[0]["result"]), (&3.into(), &"command".into()));
    assert_eq!(logs[0]["message"], "sh exited with 3; its output says why");
    for (field, value) in [
        ("log", "post-hook-output.txt"),
        ("run", "aaa"),
        ("release", "vote"),
        ("revision", "3"),
        ("event", "post-upgrade"),
        ("job", "vote-hook"),
        ("pod", "vote-hook-x7f2p"),
    ] {
        assert_eq!(logs[0][field], value, "{field}");
    }
    for line in &mut logs {
        line.as_object_mut().expect("an object").remove("output");
    }
    let done = done.then().args(["history", "data", "-o", "json"]).any_stdout().run();
    let mut history = objects(&done.stdout);
    history.reverse();
    assert_eq!(history, logs);
    let formats = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md")).unwrap();
    let schema = formats.split("**schema 2**").nth(1).expect("the schema");
    for field in logs[0].as_object().expect("an object").keys() {
        assert!(schema.contains(&format!("`{field}`")), "docs/formats.md does not tell of {field}");
    }
}

#[test]
fn bytes_that_are_no_text_are_kept_in_json() {
    let done = attempt(Test::new(), "aaa", r"printf 'a\377\000\n'", 0);
    let done = done.then().args(["logs", "data", "--json"]).any_stdout().run();
    // base64 of 61 ff 00 0a, by hand.
    assert_eq!(objects(&done.stdout)[0]["output_base64"], "Yf8ACg==");
}

#[test]
fn history_has_one_row_per_attempt_the_newest_first_and_totals() {
    let done = three_attempts().then().args(["history", "data"]).any_stdout().run();
    let rows: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(rows.len(), 5, "{}", done.stdout);
    assert!(rows[0].starts_with("STARTED"));
    for (row, parts) in [
        (1, ["vote", "bbb", "succeeded"]),
        (2, ["post-upgrade", "aaa", "succeeded"]),
        (3, ["sh exited with 3", "aaa", "command (3)"]),
    ] {
        for part in parts {
            assert!(rows[row].contains(part), "{part} in {}", rows[row]);
        }
    }
    assert!(rows[4].starts_with("2 runs, 3 attempts, 1 failed"), "{}", rows[4]);
}

#[test]
fn history_shows_what_is_asked_for() {
    let mut done = three_attempts();
    for (arguments, runs) in [
        (&["-n", "1"][..], &["bbb"][..]),
        (&["--failed"], &["aaa"]),
        (&["--release", "vote"], &["bbb", "aaa", "aaa"]),
        (&["--release", "other"], &[]),
        (&["--revision", "4"], &[]),
        (&["--log", "post-hook-output.txt", "--run", "b"], &["bbb"]),
        (&["--since", "1h"], &["bbb", "aaa", "aaa"]),
        (&["--until", "2001-01-31"], &[]),
        (&["--since", "2001-01-31T23:59:59Z", "--until", "0s"], &["bbb", "aaa", "aaa"]),
    ] {
        done = done.then().args(["history", "data", "--json"]).args(arguments).any_stdout().run();
        let found: Vec<_> = objects(&done.stdout).iter().map(|row| row["run"].clone()).collect();
        assert_eq!(found, runs, "{arguments:?}");
    }
    done.then()
        .args(["history", "data", "--since", "yesterday"])
        .status(78)
        .stderr_contains("'yesterday' is no time")
        .run();
}

#[test]
fn the_table_fits_the_terminal_and_has_colour_when_asked() {
    let done = three_attempts();
    let on = |done: Done, columns: usize, arguments: &str, environment: &str| {
        let shell = format!(
            "stty cols {columns}; {environment} {} history data {arguments}",
            crate::support::harness::PROGRAM
        );
        let output = std::process::Command::new("script")
            .args(["-qec", &shell, "/dev/null"])
            .current_dir(done.path(""))
            .env_remove("NO_COLOR")
            .output()
            .expect("script(1)");
        (done, String::from_utf8(output.stdout).expect("text"))
    };
    let table = |done, arguments: &str, environment: &str| on(done, 70, arguments, environment);
    let (mut done, plain) = table(done, "", "NO_COLOR=1");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    for columns in [120, 80, 70, 60, 45, 30, 20] {
        let (again, narrow) = on(done, columns, "", "NO_COLOR=1");
        done = again;
        for line in narrow.lines() {
            assert!(line.trim_end().chars().count() <= columns, "{columns} columns: {line}");
        }
        let says_why = narrow.contains("sh exited with 3");
        assert!(says_why || columns < 70, "the cause is on a terminal of {columns} columns: {narrow}");
    }
    let (done, colored) = table(done, "", "");
    assert!(colored.contains("\u{1b}[31mcommand (3)\u{1b}[0m"), "{colored:?}");
    let (done, plain) = table(done, "--color never", "");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    done.then().args(["history", "data", "--color", "always"]).stdout_contains("\u{1b}[32msucceeded").run();
}

#[test]
fn what_a_terminal_obeys_does_not_reach_it() {
    let test = Test::new().env("HOOK_RUNNER_RELEASE", "a\u{1b}[31m\nb\u{9b}c");
    let done = test.args(["run", "--log", "data/log", "--", "true"]).any_stderr().run();
    let done = done.then().args(["history", "data"]).any_stdout().run();
    assert!(!done.stdout.contains('\u{1b}') && !done.stdout.contains('\u{9b}'), "{:?}", done.stdout);
    assert!(done.stdout.contains(r"a\u{1b}[31m\nb\u{9b}c"), "{:?}", done.stdout);
    let done = done.then().args(["logs", "data"]).any_stdout().run();
    assert!(!done.stdout.contains('\u{1b}'), "{:?}", done.stdout);
}

#[test]
fn a_log_is_found_by_its_name_whatever_is_in_it_and_programs_get_the_name_as_it_is() {
    let name = "a\u{1b}[31m\nb.txt";
    let done = Test::new().args(["run", "--log", &format!("data/{name}"), "--", "true"]).any_stderr().run();
    let done = done.then().args(["history", "data", "--json", "--log", name]).any_stdout().run();
    assert_eq!(objects(&done.stdout)[0]["log"], name);
    let done = done.then().args(["history", "data", "--log", r"a\u{1b}[31m\nb.txt"]).any_stdout().run();
    assert!(done.stdout.contains("1 run, 1 attempt") && !done.stdout.contains('\u{1b}'), "{:?}", done.stdout);
}

/// Two names that differ only in bytes that are no text are two logs, also for programs.
#[test]
fn a_name_that_is_no_text_is_kept_in_json_and_taken_for_no_other() {
    use std::os::unix::ffi::OsStringExt as _;
    let mut done = Test::new().args(["--version"]).any_stdout().run();
    for (byte, word) in [(0xfe, "one"), (0xff, "two")] {
        let log = std::ffi::OsString::from_vec([b"data/l", &[byte][..]].concat());
        let test = done.then().args(["run", "--run-id", word, "--log"]).args([log]);
        done = test.args(["--", "echo", word]).any_stdout().any_stderr().run();
    }
    let done = done.then().args(["history", "data", "--json"]).any_stdout().run();
    let names = objects(&done.stdout).iter().map(|row| row["log_base64"].clone()).collect::<Vec<_>>();
    // base64 of 6c ff and 6c fe, by hand.
    assert_eq!(names, ["bP8=", "bP4="]);
    assert!(objects(&done.stdout)[0]["log"].is_null());
    done.then().args(["logs", "data", "--raw"]).stdout("one\ntwo\n").run();
}

#[test]
fn what_cannot_be_printed_is_no_success() {
    let mut done = attempt(Test::new().file("image/a", "x"), "aaa", "true", 0);
    let copy = done.then().args(["copy", "image", "data/to"]).any_stdout().any_stderr();
    done = copy.run();
    for arguments in [
        "history data",
        "logs data",
        "report data",
        "verify data/to",
        "verify data/to --json",
        "schema",
        "--help",
        "run --help",
        "--version",
    ] {
        let mut command = crate::support::harness::with_default_actions(crate::support::harness::PROGRAM);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output =
            command.args(arguments.split(' ')).current_dir(done.path("")).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{arguments}: {said}");
        assert!(said.contains("cannot print: No space left on device"), "{arguments}: {said}");
    }
}

#[test]
fn an_attempt_without_an_end_has_its_cause_in_the_table() {
    let done = Test::new().args(["run", "--log", "data/log", "--", "sh", "-c", "kill -9 $PPID; sleep 1"]);
    let mut command = done.command();
    assert_eq!(command.output().unwrap().status.code(), None, "killed");
    let done = Test::within(done.into_directory()).args(["history", "data"]).any_stdout().run();
    assert!(done.stdout.contains("killed, out of memory, or the node went down"), "{}", done.stdout);
}

#[test]
fn a_part_of_the_output_is_printed_when_asked() {
    let done = attempt(Test::new(), "aaa", "seq 1 20; printf end", 0);
    let raw = |done: Done, arguments: &[&str], expected: &str| {
        done.then().args(["logs", "data"]).args(arguments).stdout(expected).run()
    };
    let done = raw(done, &["--raw", "--tail", "2"], "20\nend");
    let done = raw(done, &["--grep", "^1.$", "--tail", "3"], "17\n18\n19\n");
    let done = raw(done, &["--grep", "^2"], "2\n20\n");
    let done = raw(done, &["--raw", "--tail", "0"], "");
    let done = done
        .then()
        .args(["logs", "data", "--tail", "1"])
        .stdout_contains("--- output ---\nend\n--- attempt 1")
        .run();
    done.then().args(["logs", "data", "--grep", "("]).status(78).stderr_contains("--grep").run();
}

#[test]
fn a_log_that_cannot_be_read_does_not_end_the_others() {
    let done = three_attempts();
    let done = done.then().args(["run", "--run-id", "x", "--log", "data/a", "--", "echo", "from-a"]);
    let done = done.any_stdout().any_stderr().run();
    std::fs::remove_file(done.path("data/a")).unwrap();
    std::fs::create_dir(done.path("data/a")).unwrap();
    let done = done.then().args(["history", "data"]).stdout_contains("bbb").stderr_contains("data/a").run();
    let done = done
        .then()
        .args(["logs", "data", "--run", "bbb", "--raw"])
        .stdout("three\n")
        .stderr_contains("data/a")
        .run();
    // Its run is known from the index, and what it printed may well be there: nothing says that it was removed.
    let done = done.then().args(["logs", "data", "--run", "x"]).status(74).stdout("==> a <==\n");
    let done = done.stderr_contains("attempt 1 of run x is in none of the logs that can be read").run();
    assert!(!done.stderr.contains("no longer kept"), "{}", done.stderr);
    done.then()
        .args(["report", "data"])
        .stdout_contains("Its log cannot be read by the user")
        .any_stderr()
        .run();
}

#[test]
fn a_place_without_a_run_is_named() {
    Test::new().args(["history", "{}"]).status(78).stderr_contains("there is no run in").run();
    // Beside a log, its state directory and any other are none either.
    for other in ["d/.hook-runner", "d/other"] {
        let done = Test::new().file("d/other/x", "x").args(["run", "--log", "d/l", "--", "true"]);
        let done = done.any_stdout().any_stderr().run().then().args(["history", other]);
        done.status(78).stderr_contains("there is no run in").run();
    }
    Test::new()
        .args(["logs", "{}/nothing"])
        .status(78)
        .stderr_contains("there is nothing at {}/nothing")
        .run();
    let test = Test::new().file("x", "no log\n");
    test.args(["logs", "x"]).status(78).stderr_contains("x is no log of hook-runner").run();
}

/// As at a prompt: what is longer than the screen can be scrolled.
#[test]
fn a_pager_is_used_on_a_terminal_only() {
    let done = three_attempts();
    let shell = format!("PAGER='sed s/three/paged/' {} logs data", crate::support::harness::PROGRAM);
    let output = std::process::Command::new("script")
        .args(["-qec", &shell, "/dev/null"])
        .current_dir(done.path(""))
        .env("TERM", "xterm")
        .output()
        .expect("script(1)");
    assert!(String::from_utf8_lossy(&output.stdout).contains("paged"), "{output:?}");
    done.then().env("PAGER", "false").args(["logs", "data"]).stdout_contains("three").run();
}

#[test]
fn timestamps_stand_before_each_line_the_lines_own_where_the_hook_had_them() {
    let steps = "log: data/post-hook-output.txt\nsteps:\n- exec: {command: [sh, -c, 'echo first; sleep 1']}\n- exec: {command: [echo, second]}\n";
    let done = Test::new().file("hook.yaml", steps).args(["run", "--hook", "hook.yaml", "--run-id", "a"]);
    let done = done.any_stdout().any_stderr().run();
    let done = done.then().args(["logs", "data", "--raw", "--timestamps"]).any_stdout().run();
    let time_of = |text: &str, word: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let (time, _) = lines.into_iter().find(|(_, line)| *line == word).expect("a line");
        humantime::parse_rfc3339(time).expect("RFC 3339")
    };
    let between = time_of(&done.stdout, "second").duration_since(time_of(&done.stdout, "first"));
    let seconds = between.expect("in this order").as_secs_f64();
    assert!((0.9..60.0).contains(&seconds), "{seconds} s; {}", done.stdout);

    let run =
        ["run", "--run-id", "b", "--timestamps", "--log", "data/post-hook-output.txt", "--", "echo", "own"];
    let done = done.then().args(run).any_stdout().any_stderr().run();
    let done = done.then().args(["logs", "data", "--raw"]).any_stdout().run();
    let plain = done.stdout.clone();
    let done = done.then().args(["logs", "data", "--raw", "--timestamps"]).any_stdout().run();
    assert_eq!(done.stdout, plain, "it has its times already");
}

#[test]
fn raw_output_has_none_of_the_runners_own_lines() {
    let hook = "log: data/post-hook-output.txt\nsteps:\n- copy: {from: app, to: data}\n\
                - exec: {command: [printf, one]}\n- exec: {command: [echo, two]}\n";
    let test = Test::new().file("app/f", "x").file("hook.yaml", hook);
    let done = test.args(["run", "--hook", "hook.yaml"]).any_stdout().any_stderr().run();
    assert!(done.log().contains("hook-runner: step 3 of 3 begins"), "{}", done.log());
    let raw = |done: Done, words: &[&str], expected: &str| {
        done.then().args(["logs", "data"]).args(words).stdout(expected).run()
    };
    let done = raw(done, &["--raw"], "onetwo\n");
    let done = raw(done, &["--raw", "--tail", "1"], "two\n");
    let done = raw(done, &["--step", "2"], "one");
    // As grep(1): each line that matches is a line of what is printed.
    raw(done, &["--grep", "o"], "one\ntwo\n");
}

/// What the runner says within the output: that it put the log back, and what `--max-log` left out.
#[test]
fn raw_output_is_the_commands_even_where_the_runner_spoke_in_between() {
    let run = |words: &[&str], script: &str| {
        let test = Test::new().args(["run", "--log", "l"]).args(words).args(["--", "sh", "-c", script]);
        test.any_stdout().any_stderr().run()
    };
    for (words, script, said, expected) in [
        (&[][..], "printf important; rm l", "is put back", "important".to_owned()),
        (&[], "echo one; mv l m; echo two", "is put back", "one\ntwo\n".into()),
        (
            &["--retries=1", "--backoff=1ms"],
            "echo a; [ -e x ] || { >x; printf b; exit 1; }",
            "retr",
            "a\nba\n".into(),
        ),
        // Two quarters of 8 KiB and all of the first half: 1,000 lines of 8 bytes in the head, the last ones in the tail.
        (&["--max-log=8KiB"], "seq -w 1000000 1009999", "left out", {
            let all: String = (1_000_000..1_010_000).map(|number| format!("{number}\n")).collect();
            let log = run(&["--max-log=8KiB"], "seq -w 1000000 1009999").then();
            let log = log.args(["logs", "l"]).any_stdout().run().stdout;
            let (before, after) = log.split_once("\nhook-runner: ").expect("a marker");
            let head = before.rsplit_once("===\n").map_or(before, |(_, head)| head);
            let after = after.split_once("(max-log)\n").expect("a marker").1;
            let tail = &after[..after.find("---").expect("a footer")];
            let (head, tail) =
                (&head[head.find("1000000\n").expect("the first line")..], tail.trim_end_matches('\n'));
            assert!(all.starts_with(head) && all.trim_end().ends_with(tail), "{log}");
            format!("{head}{tail}\n")
        }),
    ] {
        let done = run(words, script);
        let done = done.then().args(["logs", "l"]).any_stdout().run();
        assert!(done.stdout.contains(said), "{}", done.stdout);
        done.then().args(["logs", "--raw", "l"]).stdout(&expected).run();
    }
}

/// Here of an attempt that was killed in the middle of a line.
#[test]
fn a_header_begins_a_line_whatever_the_output_before_it_ends_with() {
    let script = "printf half; until grep -q half data/log; do sleep 0.01; done; kill -KILL $PPID";
    let test = Test::new().args(["run", "--run-id", "r1", "--log", "data/log", "--", "sh", "-c", script]);
    let killed = test.command().output().unwrap();
    assert!(killed.status.code().is_none(), "{killed:?}");
    let directory = test.into_directory();
    let test =
        Test::within(directory).args(["run", "--run-id", "r1", "--log", "data/log", "--", "printf", "two"]);
    let mut done = test.any_stdout().any_stderr().run();
    for arguments in [
        &["--all"][..],
        &["--run", "r1"],
        &["--all", "--tail", "1"],
        &["--all", "--timestamps"],
        &["--run", "r1", "--follow"],
    ] {
        done = done.then().args(["logs", "data/log"]).args(arguments).any_stdout().any_stderr().run();
        let printed = &done.stdout;
        assert!(printed.contains("half\n=== ") && printed.contains("two\n--- "), "{arguments:?}: {printed}");
    }
    // The command's bytes alone stay what they are.
    done.then().args(["logs", "data/log", "--attempt", "2", "--raw"]).stdout("two").run();
}

#[test]
fn a_report_to_a_dash_is_one_to_standard_output() {
    let done = Test::new().args(["run", "--log", "d/log", "--", "true"]).any_stderr().run();
    let done = done.then().args(["report", "-o", "-", "d"]).stdout_contains("<!doctype html").run();
    assert!(!done.path("-").exists());
}

/// Outputs that end without a newline, as `printf` makes them: only `--raw` alone promises the command's bytes.
#[test]
fn outputs_of_several_attempts_are_not_glued() {
    let hook = "log: data/post-hook-output.txt\nsteps:\n- exec: {command: [printf, one]}\n- exec: {command: [printf, two]}\n";
    let run = |test: Test, id: &str| {
        let test = test.args(["run", "--hook", "hook.yaml", "--run-id", id]);
        test.any_stdout().any_stderr().run()
    };
    let done = run(Test::new().file("hook.yaml", hook), "a");
    let mut done = run(done.then(), "b");
    for (arguments, printed) in [
        (&["--step", "1"][..], "one\none"),
        (&["--grep", "o"], "one\ntwo\none\ntwo"),
        (&["--raw"], "onetwoonetwo"),
        (&["--raw", "--step", "2"], "twotwo"),
    ] {
        done = done.then().args(["logs", "data", "--all"]).args(arguments).stdout(printed).run();
    }
    done = done.then().args(["logs", "data", "--all", "--raw", "--timestamps"]).any_stdout().run();
    let lines = done.stdout.lines().filter_map(|line| line.split_once("Z ").map(|(_, text)| text));
    assert_eq!(lines.collect::<Vec<_>>(), ["one", "two", "one", "two"], "{}", done.stdout);
}

/// A block of 64 KiB that ends within a line's time does not hide it.
#[test]
fn a_line_has_one_time_wherever_a_block_ends() {
    let script = "seq 100000 199999";
    let run = ["run", "--timestamps", "--log", "data/log", "--", "sh", "-c", script];
    let done = Test::new().args(run).any_stdout().any_stderr().run();
    let done = done.then().args(["logs", "data/log", "--raw"]).any_stdout().run();
    let plain = done.stdout.clone();
    let done = done.then().args(["logs", "data/log", "--raw", "--timestamps"]).any_stdout().run();
    let differs = done.stdout.lines().zip(plain.lines()).find(|(a, b)| a != b);
    assert_eq!(differs, None);
    assert_eq!(done.stdout.len(), plain.len());
}
