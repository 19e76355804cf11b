//! The tee: nothing the command says is lost, changed or put out of order.

use std::io::Read;
use std::process::Stdio;

use crate::needs;
use crate::support::harness::{Done, LOG, Test, eventually};

pub(crate) fn run(options: &[&str], command: &[&str]) -> Test {
    Test::new().args(["run", "--log", LOG]).args(options).args(["--"]).args(command)
}

/// What the command printed, out of the log: between the header's last line and the footer's first.
fn body(done: &Done) -> Vec<u8> {
    let log = std::fs::read(done.path("data/post-hook-output.txt")).expect("a log");
    body_of(&log).to_vec()
}

fn body_of(log: &[u8]) -> &[u8] {
    const RULE: &[u8] = b"--- output ---\n";
    let start = find(log, RULE).expect("a header") + RULE.len();
    let end = find(&log[start..], b"--- attempt 1 of run ").expect("a footer") + start;
    &log[start..end]
}

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// Output that is no text: kept apart from the harness, which compares text.
fn raw(options: &[&str], script: &str) -> (Vec<u8>, Vec<u8>) {
    let test = run(options, &["perl", "-e", script]);
    let output = test.command().stdin(Stdio::null()).output().expect("starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let directory = test.into_directory();
    let log = std::fs::read(directory.path().join("data/post-hook-output.txt")).expect("a log");
    (output.stdout, log)
}

#[test]
fn two_hundred_thousand_lines_alternating_between_the_streams_keep_their_order() {
    let script = r#"for my $i (0..199999) { $i & 1 ? syswrite(STDERR, "$i\n") : syswrite(STDOUT, "$i\n") }"#;
    let expected: String = (0..200_000).map(|i| format!("{i}\n")).collect();
    let done = run(&[], &["perl", "-e", script]).any_stdout().any_stderr().run();
    assert!(done.stdout == expected, "stdout is out of order or incomplete");
    assert!(body(&done) == expected.as_bytes(), "the log is out of order or incomplete");
}

#[test]
fn bytes_of_any_kind_pass_unharmed() {
    let line = [&vec![b'x'; 10_000_000][..], b"\n"].concat();
    let single: Vec<u8> = (b'a'..=b'z').cycle().take(100_000).chain([b'\n']).collect();
    let any: Vec<u8> = (0..=u8::MAX).chain(*b"\x1b[31m\r\n\xff\xfe\n").collect();
    for (script, expected) in [
        // A line of 10 MB.
        (r#"print "x" x 10_000_000, "\n""#, line),
        // One byte at a time.
        (r#"for my $i (0..99_999) { syswrite(STDOUT, chr(97 + $i % 26)) } print "\n""#, single),
        // NULs, escapes, every other byte, invalid UTF-8, carriage returns.
        (
            r#"for my $i (0..2000) { print map { chr } 0..255; print "\e[31m\r\n\xff\xfe\n" }"#,
            any.repeat(2001),
        ),
    ] {
        for options in [&[][..], &["--split-streams"], &["--redact", "correct-horse-battery"]] {
            let (stdout, log) = raw(options, script);
            assert!(stdout == expected, "{script} {options:?}: {} bytes on stdout", stdout.len());
            assert!(body_of(&log) == expected, "{script} {options:?}: {} bytes in the log", log.len());
        }
    }
}

#[test]
fn a_last_line_without_an_end_is_kept_as_it_is_on_stdout() {
    let done = run(&[], &["printf", "no newline"]).stdout("no newline").any_stderr().run();
    assert_eq!(body(&done), b"no newline\n", "the footer begins on a line of its own");
}

#[test]
fn split_streams_stay_apart_and_are_both_in_the_log() {
    let done = run(&["--split-streams"], &["sh", "-c", "echo out; echo err >&2"])
        .stdout("out\n")
        .stderr_contains("err\n")
        .run();
    let mut lines: Vec<String> = String::from_utf8_lossy(&body(&done)).lines().map(Into::into).collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
}

#[test]
fn times_and_marks_stand_at_line_starts_of_the_file_only() {
    // The pattern does not match itself in the header.
    let done = run(
        &["--timestamps", "--split-streams", "--annotate"],
        &["sh", "-c", "printf par; echo tial; while ! grep -q 'par[t]ial' data/post-hook-output.txt; do :; done; echo oops >&2"],
    )
    .stdout("partial\n")
    .stderr_contains("oops\n")
    .run();
    let body = String::from_utf8(body(&done)).expect("text");
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines.len(), 2, "{body}");
    for (line, text) in lines.iter().zip(["partial", "stderr: oops"]) {
        let (time, rest) = line.split_once(' ').expect("a time");
        assert_eq!(rest, text);
        assert_eq!(time.len(), "2026-01-31T23:59:59.123456Z".len(), "{time}");
        assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{time}");
    }
}

#[test]
fn a_closed_stdout_leaves_the_log_whole_and_the_hook_unhurt() {
    let test = run(&[], &["sh", "-c", "seq 100000"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = test.command();
    let status = command.stdout(writer).stderr(Stdio::null()).status().expect("starts");
    assert!(status.success());
    let directory = test.into_directory();
    let log = std::fs::read(directory.path().join("data/post-hook-output.txt")).expect("a log");
    assert!(body_of(&log).ends_with(b"\n99999\n100000\n"));
}

#[test]
fn a_blocked_stdout_does_not_hold_up_the_log_and_learns_what_it_missed() {
    let test = run(&[], &["sh", "-c", "seq 300000; while ! [ -e go ]; do sleep 0.05; done; echo last"]);
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = test.command();
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().expect("starts");
    drop(command);
    let directory = test.into_directory();
    let log = directory.path().join("data/post-hook-output.txt");
    eventually("the log goes on without stdout", || {
        std::fs::read(&log).is_ok_and(|log| find(&log, b"\n300000\n").is_some()).then_some(())
    });
    let mut seen = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    let n = reader.read(&mut chunk).expect("the part that went through");
    seen.extend_from_slice(&chunk[..n]);
    std::fs::write(directory.path().join("go"), "").expect("a file");
    reader.read_to_end(&mut seen).expect("the rest");
    assert!(child.wait().expect("ends").success());
    let seen = String::from_utf8(seen).expect("text");
    let missing =
        seen.lines().find_map(|line| line.strip_prefix("hook-runner: ")?.split(' ').next()?.parse().ok());
    let missing: usize = missing.expect("a marker with the number of bytes");
    let marker = format!("hook-runner: {missing} bytes are missing here: this stream was blocked\n");
    let total: usize = (1..=300_000).map(|i: i32| i.to_string().len() + 1).sum::<usize>() + "last\n".len();
    let newline =
        usize::from(!seen.contains(&format!("\n{marker}")) || seen.len() - marker.len() + missing > total);
    assert_eq!(seen.len() - marker.len() - newline + missing, total);
    assert!(seen.ends_with("last\n"));
}

/// A busy node stalls the container runtime, which reads stdout, for seconds.
#[test]
fn a_stdout_that_is_not_read_for_some_seconds_loses_nothing() {
    let test = run(&[], &["sh", "-c", "seq 300000"]);
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = test.command();
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().expect("starts");
    drop(command);
    std::thread::sleep(std::time::Duration::from_secs(4));
    let mut seen = String::new();
    reader.read_to_string(&mut seen).expect("text");
    assert!(child.wait().expect("ends").success());
    assert!(seen.ends_with("\n300000\n"), "{} bytes", seen.len());
    assert!(!seen.contains("missing"));
}

/// With and without a deadline that ends the waiting for it. The command does not wait: its pipe takes all that it prints.
#[test]
fn a_stdout_that_is_never_read_is_told_and_the_log_is_whole() {
    for options in [&[][..], &["--timeout", "5s"]] {
        let test = run(options, &["sh", "-c", "seq 150000"]);
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = test.command();
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("starts");
        drop(command);
        let ended = child.wait_with_output().expect("ends");
        let mut seen = Vec::new();
        reader.read_to_end(&mut seen).expect("the part that went through");
        let said = String::from_utf8(ended.stderr).expect("text");
        let all: usize = (1..=150_000).map(|number: u32| number.to_string().len() + 1).sum();
        let told = format!("stdout was blocked, and took {} bytes less than were printed", all - seen.len());
        assert!(ended.status.success() && said.contains(&told), "{options:?}: {told}: {said}");
        let directory = test.into_directory();
        let log = std::fs::read(directory.path().join("data/post-hook-output.txt")).expect("a log");
        assert!(body_of(&log).ends_with(b"\n150000\n"), "{options:?}");
        assert!(find(&log, told.as_bytes()).is_some(), "{options:?}: the footer says it");
    }
}

#[test]
fn an_endless_log_keeps_its_first_and_its_last_part() {
    let done = run(&["--max-log", "64KiB"], &["seq", "200000"]).any_stdout().any_stderr().run();
    let body = body(&done);
    let text = String::from_utf8(body).expect("text");
    let (head, rest) = text.split_once("\nhook-runner: ").expect("a marker");
    let (number, tail) = rest.split_once(" bytes are left out here (max-log)\n").expect("a marker");
    let all: String = (1..=200_000).map(|i| format!("{i}\n")).collect();
    assert!(all.starts_with(head) && all.ends_with(tail), "{number}");
    assert_eq!(head.len() + tail.len() + number.parse::<usize>().expect("a number"), all.len());
    assert_eq!(head.len(), 32 * 1024);
    assert!(tail.len() >= 16 * 1024 && tail.len() <= 32 * 1024, "{}", tail.len());
    assert!(done.stdout == all, "stdout has everything");
    let left: Vec<_> = std::fs::read_dir(done.path("data/.hook-runner"))
        .expect("the state directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("tail-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_log_below_its_limit_is_whole_and_has_no_marker() {
    for limit in ["1MiB", "20000"] {
        let done = run(&["--max-log", limit], &["seq", "3000"]).any_stdout().any_stderr().run();
        let all: String = (1..=3000).map(|i| format!("{i}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&body(&done)), all, "{limit}");
    }
}

#[test]
fn a_command_that_runs_as_another_user_can_open_its_stdout_anew() {
    needs!(OtherUsers);
    let script = "echo to stdout > /dev/stdout; echo to stderr > /dev/stderr";
    let done =
        run(&[], &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", script])
            .stdout("to stdout\nto stderr\n")
            .any_stderr()
            .run();
    assert_eq!(body(&done), b"to stdout\nto stderr\n");
}

#[test]
fn without_a_log_the_command_has_the_runners_own_streams() {
    let done = Test::new()
        .args(["run", "--log", "none", "--", "sh", "-c"])
        .args(["readlink /proc/$PPID/fd/1 /proc/self/fd/1 /proc/$PPID/fd/2 /proc/self/fd/2 2>&1"])
        .any_stdout()
        .any_stderr()
        .run();
    let links: Vec<&str> = done.stdout.lines().collect();
    assert_eq!((links[0], links[2]), (links[1], links[2]), "{links:?}");
}

#[test]
fn all_that_is_done_to_the_log_at_once_shows_no_secret_and_leaves_stdout_whole() {
    // Lines of 70 kB, secrets across any boundary, from both streams, in writes of odd sizes.
    let script = r#"
        for my $i (0..59) {
            my $line = "x" x (1000 + 977 * $i) . "correct-horse" . "-battery" . "y" x (70_000 - 977 * $i) . " $i\n";
            my $to = $i % 2 ? *STDERR : *STDOUT;
            for (my $at = 0; $at < length $line; $at += 7001) { syswrite($to, substr($line, $at, 7001)) }
        }"#;
    let options = [
        "--split-streams",
        "--timestamps",
        "--annotate",
        "--max-log",
        "256KiB",
        "--redact",
        "correct-horse-battery",
    ];
    let done = run(&options, &["perl", "-e", script]).any_stdout().any_stderr().run();
    assert_eq!(lines_masked(&done.stdout), (0..60).step_by(2).collect::<Vec<_>>());
    assert_eq!(lines_masked(&done.stderr), (1..60).step_by(2).collect::<Vec<_>>());
    let body = String::from_utf8(body(&done)).expect("text");
    assert!(!body.contains("correct-horse-battery"), "a secret in the log");
    assert_eq!(body.matches(" bytes are left out here (max-log)\n").count(), 1);
    assert!(body.len() >= 192 * 1024 && body.len() < 257 * 1024, "{}", body.len());
    assert!(body.ends_with(" 58\n") || body.ends_with(" 59\n"), "the end is kept");
    let (head, _) = body.split_once("\nhook-runner: ").expect("a marker");
    // The last is cut off.
    for line in head.lines().rev().skip(1) {
        let (time, _) = line.split_once(' ').expect("a time");
        assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{time}");
    }
}

/// The numbers of the lines that are whole, in their order. Of a secret there may be a beginning: the machine has paused
/// the command in its middle.
fn lines_masked(text: &str) -> Vec<usize> {
    let number = |line: &str| -> Option<usize> {
        let (rest, number) = line.rsplit_once(' ')?;
        let number = number.parse().ok()?;
        let (before, after) = rest.split_once("***")?;
        let begun = before.strip_prefix(&"x".repeat(1000 + 977 * number))?;
        let whole = after == "y".repeat(70_000 - 977 * number);
        (whole && "correct-horse-batter".starts_with(begun)).then_some(number)
    };
    text.lines()
        .filter(|line| !line.starts_with("hook-runner: "))
        .map(|line| number(line).unwrap_or(999))
        .collect()
}
