//! The tee takes the same memory however much is printed.

use std::io::{BufRead, Read};
use std::process::Stdio;

use nix::libc;

use crate::support::harness::{LOG, Test, eventually};
use crate::support::running::Running;

use crate::output::tee::run;

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
#[ignore = "long: writes 4 GiB to the disk"]
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
fn beside_a_command_the_runner_takes_8_mib_at_the_most() {
    crate::needs!(StaticBinary);
    let program = std::env::var_os("STATIC_HOOK_RUNNER").expect("set");
    for log in ["none", LOG] {
        let test = Test::new().args(["run", "--log", log, "--", "sh", "-c", "echo ready; exec sleep 1000"]);
        let mut command = crate::support::harness::with_default_actions(&program);
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
        assert!(peak > 0 && peak <= 8 * 1024, "{peak} KiB with --log {log}");
    }
}

/// The most memory that was resident, in KiB.
fn peak_of(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}
