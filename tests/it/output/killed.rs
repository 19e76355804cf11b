//! A runner that is killed: what it had read is in the log.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use nix::libc;

use crate::support::cases::one_in;
use crate::support::harness::{LOG, PROGRAM, Test, eventually, with_default_actions};
use crate::support::running::Running;

use crate::output::tee::{find, run};

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
    for round in (0..24_usize).step_by(one_in(3)) {
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

/// What `logs` shows of an attempt whose runner was killed: the log's part, what is left out, and the end kept beside it.
fn read_back(directory: &tempfile::TempDir, options: &[&str], log: &str, status: i32) -> String {
    let mut command = with_default_actions(PROGRAM);
    command.args(["logs", "data/post-hook-output.txt"]).args(options).current_dir(directory.path());
    let done = command.output().expect("logs");
    let shown = String::from_utf8(done.stdout).expect("text");
    assert_eq!(done.status.code(), Some(status), "{options:?}: {}", String::from_utf8_lossy(&done.stderr));
    assert!(shown.ends_with("\n200000\nTHE END\n"), "{options:?} ends with {:?}", &shown[shown.len() - 40..]);
    if options.contains(&"--raw") {
        let head = log.split_once("--- output ---\n").expect("a header").1;
        let (marker, end) =
            shown.strip_prefix(head).expect("the log's part").split_once("(max-log)\n").expect("a marker");
        let left_out = marker.split_ascii_whitespace().find_map(|word| word.parse().ok()).unwrap_or(0);
        let all: usize = (1..=200_000).map(|number: u32| number.to_string().len() + 1).sum();
        assert_eq!(head.len() + left_out + end.len(), all + "THE END\n".len(), "{marker}");
    }
    shown
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
    let begin = read_back(&directory, &["--raw"], &log, 0);
    assert!(begin.starts_with("1\n2\n"), "{begin}");
    read_back(&directory, &["--tail", "3"], &log, 0);
    read_back(&directory, &["--follow", "--exit-status"], &log, 137);
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
