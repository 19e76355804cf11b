//! The tee: nothing the command says is lost, changed or put out of order.

use std::io::{BufRead, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use nix::libc;

use crate::harness::{Done, Test, eventually};
use crate::require_root;
use crate::running::Running;

const LOG: &str = "{}/data/post-hook-output.txt";

fn run(options: &[&str], command: &[&str]) -> Test {
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

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
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
fn memory_stays_constant_however_much_is_printed() {
    let script =
        r#"my $x = "a line of output\n" x 4096; for (1..4000) { print $x } print STDERR "done\n"; <STDIN>"#;
    let test = run(&[], &["perl", "-e", script]);
    let mut command = test.command();
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("starts");
    let directory = test.into_directory();
    let log = directory.path().join("data/post-hook-output.txt");
    eventually("278 MB in the log", || {
        std::fs::metadata(&log).is_ok_and(|meta| meta.len() > 17 * 4096 * 4000).then_some(())
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let peak = peak_of(&status).expect("a peak");
    drop(child.stdin.take());
    assert!(child.wait().expect("ends").success());
    assert!(peak < 32 * 1024, "{peak} KiB at the most");
}

#[test]
#[ignore = "heavy: writes 4 GiB to the disk"]
fn four_gibibytes_pass_unharmed_in_constant_memory() {
    const LINES: u32 = 4096;
    let script = r#"my $x = "x" x (1048576 - 12); for my $i (1..4096) { printf "%010d %s\n", $i, $x } close(STDOUT); <STDIN>"#;
    let line = |number: u32| format!("{number:010} {}\n", "x".repeat((1 << 20) - 12)).into_bytes();
    let test = run(&[], &["perl", "-e", script]);
    let mut command = test.command();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut seen = vec![0; 1 << 20];
    for number in 1..=LINES {
        stdout.read_exact(&mut seen).expect("a line");
        assert!(seen == line(number), "line {number} on stdout");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let peak = peak_of(&status).expect("a peak");
    drop(child.stdin.take());
    assert_eq!(stdout.read_to_end(&mut Vec::new()).expect("the end"), 0);
    assert!(child.wait().expect("ends").success());
    assert!(peak > 0 && peak < 32 * 1024, "{peak} KiB at the most");
    let directory = test.into_directory();
    let log = std::fs::File::open(directory.path().join("data/post-hook-output.txt")).expect("a log");
    let mut log = std::io::BufReader::new(log);
    let mut header = String::new();
    while !header.ends_with("\n--- output ---\n") {
        assert!(log.read_line(&mut header).expect("text") > 0, "{header}");
    }
    for number in 1..=LINES {
        log.read_exact(&mut seen).expect("a line");
        assert!(seen == line(number), "line {number} in the log");
    }
    let mut footer = String::new();
    log.read_to_string(&mut footer).expect("text");
    assert!(footer.starts_with("--- attempt 1 of run "), "{footer}");
}

/// The program as it is released: what a debugger needs is resident, too.
#[test]
fn beside_a_command_the_runner_takes_3_mib_at_the_most() {
    let Some(program) = std::env::var_os("HOOK_RUNNER_STATIC_BINARY") else {
        let message = "NOT RUN (needs HOOK_RUNNER_STATIC_BINARY): resident memory beside a command";
        assert!(std::env::var_os("HOOK_RUNNER_REQUIRE_ROOT").is_none(), "{message}");
        crate::harness::say_not_run(message);
        return;
    };
    for log in ["none", LOG] {
        let test = Test::new().args(["run", "--log", log, "--", "sh", "-c", "echo ready; exec sleep 1000"]);
        let mut command = crate::harness::with_default_actions(&program);
        command.args(test.command().get_args());
        let mut running = Running::start(command, test.into_directory());
        running.wait_for("out", "ready\n");
        if log != "none" {
            running.wait_for("data/.hook-runner/runner.log", "step begins");
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it runs");
        running.signal(libc::SIGTERM);
        assert_eq!(running.end(), 143);
        let peak = peak_of(&status).expect("a peak");
        assert!(peak > 0 && peak <= 3 * 1024, "{peak} KiB with --log {log}");
    }
}

/// The most memory that was resident, in KiB.
fn peak_of(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
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

#[test]
fn what_stdout_has_shown_is_in_the_file_when_the_runner_is_killed() {
    for round in 0..5_u64 {
        let test = run(&[], &["perl", "-e", r#"for (my $i = 0; ; $i++) { syswrite(STDOUT, "line $i\n") }"#]);
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = test.command();
        let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().expect("starts");
        drop(command);
        let mut seen = vec![0; 100_000 + usize::try_from(round).expect("small") * 77_777];
        reader.read_exact(&mut seen).expect("output");
        child.kill().expect("KILL");
        child.wait().expect("ends");
        reader.read_to_end(&mut seen).expect("what is left in the pipe");
        let directory = test.into_directory();
        let log = std::fs::read(directory.path().join("data/post-hook-output.txt")).expect("a log");
        let start = find(&log, b"--- output ---\n").expect("a header") + "--- output ---\n".len();
        let body = &log[start..];
        assert!(body.starts_with(&seen), "{} bytes were seen, {} are in the file", seen.len(), body.len());
        let expected: Vec<u8> =
            (0..).flat_map(|i| format!("line {i}\n").into_bytes()).take(body.len()).collect();
        assert!(body == expected, "the file is the output from its beginning, with nothing left out");
    }
}

#[test]
fn a_kill_at_any_moment_loses_no_byte_that_was_read() {
    // Counts its lines in a file of its own, after each write; the pauses differ from round to round.
    let script = r#"
        open(my $count, ">", "count"); my $pause = $ARGV[0];
        open(my $pid, ">", "pid"); print $pid $$; close($pid);
        for (my $i = 0; ; $i++) {
            syswrite(STDOUT, sprintf("line %9d\n", $i)) == 15 or exit 1;
            sysseek($count, 0, 0); syswrite($count, sprintf("%9d", $i + 1));
            select(undef, undef, undef, $pause) if $pause && $i % 8 == 0;
        }"#;
    for round in 0..24_usize {
        let pause = ["0", "0.0001", "0.001"][round % 3];
        let test = run(&[], &["perl", "-e", script, pause]);
        let command = test.command();
        let mut running = Running::start(command, test.into_directory());
        let lines = 10 + round * round * 3;
        running.wait_for("out", &format!("line {lines:9}\n"));
        // A reader of ours, so that what nobody has read stays in the pipe.
        let stdout = format!("/proc/{}/fd/1", running.read("pid"));
        let nonblocking = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(stdout);
        let mut pipe = nonblocking.expect("the command's pipe");
        running.signal(libc::SIGKILL);
        assert_eq!(running.end(), 137);
        let unread = left_in(&mut pipe);
        drop(pipe);
        eventually("the command has ended", || {
            let before = running.read("count");
            std::thread::sleep(std::time::Duration::from_millis(20));
            (before == running.read("count")).then_some(())
        });
        let log = running.read("data/post-hook-output.txt");
        let body = log.split_once("--- output ---\n").expect("a header").1;
        let expected: String = (0..=body.len() / 15).map(|i| format!("line {i:9}\n")).collect();
        assert!(expected.starts_with(body), "round {round}: the file is the output from its beginning");
        assert!(
            body.starts_with(&running.read("out")),
            "round {round}: what stdout has shown is in the file"
        );
        // The first line that is whole in what was left: everything before it was read by the runner.
        let at = unread.find("line ").expect("more was printed");
        let number: usize = unread[at + 5..at + 14].trim().parse().expect("a number");
        assert!(body.len() >= 15 * number - at, "round {round}: {} of {}", body.len(), 15 * number - at);
    }
}

/// What is in the pipe of a command that prints for ever, from its beginning.
fn left_in(pipe: &mut std::fs::File) -> String {
    let mut unread = vec![0; 1 << 16];
    let n = eventually("the command prints on", || pipe.read(&mut unread).ok().filter(|n| *n > 0));
    unread.truncate(n);
    String::from_utf8(unread).expect("text")
}

#[test]
fn a_paused_command_loses_nothing_to_a_kill() {
    // With redaction, what begins a secret is held back until the pause, and nothing else is.
    for (options, end) in [(&[][..], ""), (&["--redact", "correct-horse-battery"], "correct-ho")] {
        let script = format!("seq 50000; printf %s '{end}'; touch written; exec sleep 1000");
        let test = run(options, &["sh", "-c", &script]);
        let command = test.command();
        let mut running = Running::start(command, test.into_directory());
        let expected: String = (1..=50_000).map(|i| format!("{i}\n")).collect::<String>() + end;
        eventually("all is in the file", || {
            running.read("data/post-hook-output.txt").ends_with(&expected).then_some(())
        });
        running.signal(libc::SIGKILL);
        assert_eq!(running.end(), 137);
        assert!(running.read("data/post-hook-output.txt").ends_with(&expected));
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
fn the_end_of_an_endless_log_survives_a_kill_of_the_runner() {
    let test = Test::new()
        .env("HOOK_RUNNER_RUN_ID", "one-run")
        .args(["run", "--log", LOG, "--max-log", "64KiB", "--", "sh", "-c"])
        .args(["seq 200000; echo THE END; exec sleep 1000"]);
    let command = test.command();
    let mut running = Running::start(command, test.into_directory());
    running.wait_for("out", "THE END");
    running.signal(libc::SIGKILL);
    assert_eq!(running.end(), 137);
    let state = std::fs::read_dir(running.path("data/.hook-runner")).expect("the state directory").flatten();
    let tails = state.filter(|entry| entry.file_name().to_string_lossy().starts_with("tail-"));
    let kept: u64 = tails.map(|tail| tail.metadata().expect("a file").len()).sum();
    let log = running.read("data/post-hook-output.txt");
    let head = log.split_once("--- output ---\n").expect("a header").1.len() as u64;
    assert_eq!(head, 32 * 1024);
    // Each of the two has a line of its own before what it keeps.
    assert!((16 * 1024..=32 * 1024 + 128).contains(&kept), "on the volume while it runs: {head} + {kept}");
    let directory = std::mem::replace(&mut running.directory, tempfile::tempdir().expect("a directory"));
    let done = Test::within(directory)
        .env("HOOK_RUNNER_RUN_ID", "one-run")
        .args(["run", "--log", LOG, "--", "true"])
        .any_stderr()
        .run();
    let log = done.log();
    let (before, after) = log.split_once("THE END\n").expect("the end of the first attempt");
    assert!(before.contains(" bytes are left out here (max-log)\n") && before.ends_with("\n200000\n"));
    assert!(after.contains("attempt 2 of run one-run"), "{after}");
}

#[test]
fn a_command_that_runs_as_another_user_can_open_its_stdout_anew() {
    require_root!("that /dev/stdout can be opened by another user");
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
