//! Redaction, through the real program: both sinks, all sources, any chunks, and what others make of a secret.

use crate::support::harness::{LOG, Test};

#[test]
fn values_from_environment_files_and_literals_appear_in_neither_sink() {
    let script = "echo env $DB_PASSWORD; cat mounted/token; echo; echo lit literal-secret; \
                  printf %s user:$DB_PASSWORD | base64; printf hun; printf ter2-hunter2; echo";
    let done = Test::new()
        .env("DB_PASSWORD", "hunter2-hunter2")
        .file("mounted/token", "abcdef0123456789\n")
        .args(["run", "--log", LOG, "--redact-env", "DB_PASSWORD", "--redact-file", "{}/mounted"])
        .args(["--redact", "literal-secret", "--", "sh", "-c", script])
        .any_stdout()
        .any_stderr()
        .run();
    let expected = "env ***\n***\n\nlit ***\ndXNlcjp***\n***\n";
    let shown = done.stdout.replace("dXNlcjpo", "dXNlcjp");
    assert_eq!(mask_edges(&shown), mask_edges(expected));
    let log = done.log();
    for secret in ["hunter2-hunter2", "abcdef0123456789", "literal-secret", "aHVudGVyMi1odW50ZXIy"] {
        assert!(!log.contains(secret) && !done.stdout.contains(secret), "{secret} in {log}");
    }
}

/// base64 leaves up to two characters at each edge that the secret shares with its neighbours.
fn mask_edges(text: &str) -> String {
    text.lines()
        .map(
            |line| if line.starts_with("dXNlcjp") { "base64 with ***\n".into() } else { format!("{line}\n") },
        )
        .collect()
}

#[test]
fn a_secret_written_in_two_pieces_with_a_pause_between_never_appears_whole() {
    let script = "printf 'x correct-ho'; sleep 0.5; echo 'rse-battery y'";
    let done = Test::new()
        .args(["run", "--log", LOG, "--redact", "correct-horse-battery", "--", "sh", "-c", script])
        .any_stdout()
        .any_stderr()
        .run();
    assert!(done.stdout.ends_with("*** y\n"), "{}", done.stdout);
    assert!(!done.stdout.contains("correct-horse") && !done.log().contains("correct-horse-battery"));
}

#[test]
fn a_prompt_is_shown_while_the_command_waits() {
    let test = Test::new().args(["run", "--log", LOG, "--redact", "correct-horse-battery", "--", "sh", "-c"]);
    let test = test.args(["printf 'say correct'; while ! [ -e go ]; do sleep 0.02; done; echo ' thing'"]);
    let command = test.command();
    let mut running = crate::support::running::Running::start(command, test.into_directory());
    running.wait_for("out", "say correct");
    std::fs::write(running.path("go"), "").expect("a file");
    assert_eq!(running.end(), 0);
    assert_eq!(running.read("out"), "say correct thing\n");
}

#[test]
fn what_is_held_back_at_the_end_comes_before_the_footer() {
    for options in [&[][..], &["--split-streams"]] {
        let done = Test::new()
            .args(["run", "--log", LOG, "--redact", "correct-horse-battery"])
            .args(options)
            .args(["--", "sh", "-c", "printf 'x correct-ho' >&2; printf 'y correct-horse-batter'"])
            .any_stdout()
            .any_stderr()
            .run();
        let log = done.log();
        let shown = if options.is_empty() { &done.stdout } else { &(done.stderr.clone() + &done.stdout) };
        for sink in [shown, &log] {
            assert!(sink.contains("x correct-ho") && sink.contains("y correct-horse-batter"), "{sink}");
        }
    }
}

#[test]
fn a_value_too_short_is_refused_with_a_warning_that_does_not_show_it() {
    let done = Test::new()
        .env("PIN", "12345")
        .args(["run", "--log", LOG, "--redact-env", "PIN", "--", "true"])
        .any_stderr()
        .run();
    let text = format!("{}{}", done.log(), done.stderr);
    assert!(text.contains("PIN") && text.contains("NOT redacted") && !text.contains("12345"), "{text}");
}

#[test]
fn a_secret_file_that_is_missing_stops_the_hook_before_it_can_leak() {
    Test::new()
        .args(["run", "--log", LOG, "--redact-file", "{}/nothing", "--", "echo", "ran"])
        .status(78)
        .stderr_contains("cannot read the secret to redact")
        .run();
}

/// What the runner itself says of a command: that it is tried again, and what it left.
#[test]
fn a_secret_in_the_name_of_a_command_is_in_no_note_of_the_runner() {
    let script = "#!/bin/sh\ntail --pid=$PPID -f /dev/null &\nexit 5\n";
    let done = Test::new()
        .script("hunter2-hunter2", script)
        .args(["run", "--log", LOG, "--redact", "hunter2-hunter2", "--drain", "100ms"])
        .args(["--retries", "2", "--backoff", "10ms", "--", "{}/hunter2-hunter2"])
        .status(5)
        .any_stderr()
        .run();
    for sink in [done.stderr.clone(), done.log()] {
        for note in ["/*** exited with 5; retry 1 of 2", "/*** has ended and left tail ("] {
            assert!(sink.contains(note), "{note:?} is not in {sink}");
        }
        assert!(!sink.contains("hunter2"), "{sink}");
    }
}

/// The lines that `script` prints of the secret in its environment as SECRET, as they come out.
fn masked(secret: &str, program: &[&str]) -> Vec<String> {
    let done = Test::new()
        .env("SECRET", secret)
        .args(["run", "--log", LOG, "--redact-env", "SECRET", "--"])
        .args(program)
        .any_stdout()
        .any_stderr()
        .run();
    assert!(done.log().contains(&done.stdout), "the log has the same");
    done.stdout.lines().map(Into::into).collect()
}

#[test]
fn what_python_makes_of_a_secret_is_masked() {
    crate::needs!(Program("python3"));
    let script = "import os, json, base64, urllib.parse as u; s = os.environ['SECRET']; b = s.encode()\n\
                  for t in [u.quote(s), u.quote(s, safe=''), u.quote_plus(s), json.dumps(s), json.dumps(s, ensure_ascii=False),\n\
                      json.dumps(json.dumps(s, ensure_ascii=False)), u.urlencode({'k': s})]: print(t)\n\
                  for t in (b, b'k:' + b, b'ke:' + b): print(base64.b64encode(t).decode()); print(base64.urlsafe_b64encode(t).decode())";
    let lines = masked("p@ss w/\u{f6}<\"\\&+~*>0?", &["python3", "-c", script]);
    let (text, encoded) = lines.split_at(7);
    assert_eq!(text[..3], ["***"; 3]);
    assert_eq!(text[3..6], ["\"***\"", "\"***\"", "\"\\\"***\\\"\""]);
    assert_eq!(text[6], "k=***");
    assert_eq!(encoded.len(), 6);
    for line in encoded {
        // The characters at its edges belong to what stands beside it, too.
        let (before, after) = line.split_once("***").unwrap_or_else(|| panic!("{lines:?}"));
        assert!(before.len() <= 4 && after.trim_end_matches('=').len() <= 1, "{lines:?}");
    }
}

#[test]
fn what_a_shell_traces_of_a_secret_is_masked() {
    crate::needs!(Program("bash"), Program("dash"));
    for shell in ["bash", "dash"] {
        for secret in ["two words", "it's 'mine'", "a$b`c\"d"] {
            let lines = masked(secret, &[shell, "-c", "set -x; : \"$SECRET\""]);
            assert_eq!(lines.len(), 1, "{lines:?}");
            let shown = lines[0].replace(['\'', '"'], "");
            assert_eq!(shown, "+ : ***", "{shell} {secret}: {lines:?}");
        }
    }
}

#[test]
fn a_long_secret_in_base64_of_several_lines_is_masked() {
    let secret: String = (0..300_u32).filter_map(|n| char::from_digit(10 + n * n % 26, 36)).collect();
    let lines =
        masked(&secret, &["sh", "-c", "for w in 76 64; do printf %s \"$SECRET\" | base64 -w $w; done"]);
    assert_eq!(lines, ["***", "***"]);
}

/// As `kubectl create secret --from-file` and `echo … | base64` have it.
#[test]
fn a_newline_at_the_end_of_a_value_does_not_keep_it_from_being_found() {
    let lines = masked(
        "hunter2-hunter2\n",
        &["sh", "-c", "echo \"<$(printf %s \"$SECRET\")>\"; printf '%s;' \"$SECRET\""],
    );
    assert_eq!(lines, ["<***>", "***", ";"]);
}
