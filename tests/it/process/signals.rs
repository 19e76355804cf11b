//! Being PID 1: what becomes of signals, time and what the command leaves behind.

use std::os::unix::fs::{PermissionsExt, chown};
use std::time::{Duration, Instant};

use nix::libc;

use crate::needs;
use crate::support::harness::{PROGRAM, Test, eventually, with_default_actions};
use crate::support::running::{Running, children, processes, send};

pub(crate) fn start(options: &[&str], script: &str) -> Running {
    let mut arguments = vec!["run", "--log", "{}/data/post-hook-output.txt"];
    arguments.extend(options);
    arguments.extend(["--", "bash", "-c", script]);
    let test = Test::new().args(arguments);
    let command = test.command();
    Running::start(command, test.into_directory())
}

/// A command that reports the signals it is asked to catch, until a file `stop` appears.
fn reporter(signals: &[i32]) -> String {
    let traps: String = signals.iter().map(|n| format!("trap 'echo got {n}.' {n}; ")).collect();
    format!("{traps} echo ready; while ! [ -e stop ]; do sleep 0.02 2>/dev/null; done; exit 7")
}

#[test]
fn every_signal_that_can_be_caught_reaches_the_command() {
    // KILL and STOP cannot be caught; CHLD is about the runner's own children; bash cannot catch 32 and 33, which have a
    // test of their own; INT and TERM ask for the end and are tested below; CONT, TSTP, TTIN and TTOU are job control.
    let apart = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGCHLD,
        32,
        33,
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGCONT,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    let signals: Vec<i32> = (1..=64).filter(|signal| !apart.contains(signal)).collect();
    assert!(signals.contains(&libc::SIGFPE) && signals.contains(&libc::SIGSEGV) && signals.contains(&34));
    let mut running = start(&[], &reporter(&signals));
    running.wait_for("out", "ready");
    for signal in signals {
        running.signal(signal);
        running.wait_for("out", &format!("got {signal}.\n"));
    }
    std::fs::write(running.path("stop"), "").expect("a file");
    assert_eq!(running.end(), 7);
}

/// musl keeps 32 to 34 for itself and glibc 32 and 33: a new thread has some of them unblocked, and one of those would
/// take them away from the thread that reads them.
#[test]
fn signals_that_the_c_libraries_keep_for_themselves_reach_the_command() {
    for signal in [32, 33, 34].into_iter().cycle().take(6) {
        let test = Test::new().args(["run", "--log", "{}/data/post-hook-output.txt", "--", "sh", "-c"]);
        let test = test.args(["echo ready; exec sleep 1000"]);
        let command = test.command();
        let mut running = Running::start(command, test.into_directory());
        running.wait_for("out", "ready");
        // Now all the threads are there that live while a command does.
        running.wait_for("data/.hook-runner/runner.log", "step begins");
        let threads = std::fs::read_dir(format!("/proc/{}/task", running.pid())).expect("it runs").flatten();
        for thread in threads {
            let status = std::fs::read_to_string(thread.path().join("status")).expect("a status");
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).expect("a mask");
            // All but KILL and STOP.
            assert_eq!(blocked, "fffffffffffbfeff", "{status}");
        }
        // Lost when it comes in the moment in which a thread starts.
        eventually("the command gets it", || {
            running.signal(signal);
            running.child.try_wait().expect("wait")
        });
        assert_eq!(running.end(), 128 + signal);
    }
}

#[test]
fn a_signal_reaches_the_commands_whole_group() {
    let child = "trap 'echo child got it; exit' USR1; echo child ready; while :; do sleep 0.02; done";
    let script = format!("trap 'echo got it' USR1; bash -c \"{child}\" & echo ready; wait; wait; exit 7");
    let mut running = start(&[], &script);
    running.wait_for("out", "child ready\n");
    running.wait_for("out", "\nready\n".trim_start());
    running.signal(libc::SIGUSR1);
    assert_eq!(running.end(), 7);
    let out = running.read("out");
    assert!(out.contains("child got it\n") && out.lines().any(|line| line == "got it"), "{out}");
}

/// Without a terminal: whoever sends them (a shell's `fg`, a tracer) finds the runner do as the command does.
#[test]
fn a_stop_signal_reaches_the_command_and_stops_the_runner_until_it_is_continued() {
    let stops = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    // Without children: they would stop, and a shell would wait for them.
    let script = r#"exec perl -e '$| = 1; for my $s (18, 20, 21, 22) { my $t = "got $s.\n"; $SIG{(qw(CONT X TSTP TTIN TTOU))[$s - 18]} = sub { print $t; open(my $seen, ">>", "seen"); print $seen $t; close $seen } } print "ready\n"; select(undef, undef, undef, 0.02) while !-e "stop"; exit 7'"#;
    let mut running = start(&[], script);
    running.wait_for("out", "ready");
    let continued = format!("got {}.\n", libc::SIGCONT);
    for (before, signal) in stops.into_iter().enumerate() {
        running.signal(signal);
        eventually("the runner has stopped", || {
            processes().iter().any(|process| process.0 == running.pid() && process.1 == 'T').then_some(())
        });
        assert_eq!(running.read("out").matches(&continued).count(), before);
        // A SIGCONT takes a stop signal away that has not been acted on (signal(7)).
        running.wait_for("seen", &format!("got {signal}.\n"));
        running.signal(libc::SIGCONT);
        // What the command has said meanwhile is in the pipe.
        running.wait_for("out", &format!("got {signal}.\n"));
        eventually("the command is continued", || {
            (running.read("out").matches(&continued).count() == before + 1).then_some(())
        });
    }
    std::fs::write(running.path("stop"), "").expect("a file");
    assert_eq!(running.end(), 7);
}

#[test]
fn a_stop_ends_the_attempt_with_128_and_the_signal_whatever_status_the_command_gives() {
    for (signal, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")] {
        for status in [0, 9] {
            let script =
                format!("trap 'echo bye; exit {status}' {signal}; echo ready; while :; do sleep 0.02; done");
            let mut running = start(&["--grace", "1h"], &script);
            running.wait_for("out", "ready");
            running.signal(signal);
            assert_eq!(running.end(), 128 + signal);
            let log = running.read("data/post-hook-output.txt");
            let sender = format!("{name} (signal {signal}) from process {}", std::process::id());
            for part in [
                "\nbye\n",
                &sender,
                "which has 1h to end",
                &format!("after that it exited with {status}, within its grace of 1h"),
            ] {
                assert!(log.contains(part), "{part} in {log}");
            }
            assert!(!log.contains("succeeded") && !log.contains("was killed"), "{log}");
        }
    }
}

#[test]
fn a_stop_after_the_last_command_has_ended_by_itself_does_not_make_it_a_failure() {
    let script = "(trap '' TERM; sleep 1) & echo $$ >pid";
    let mut running = start(&["--drain", "1h", "--grace", "1h"], script);
    wait_for_the_end_of(&running, "pid");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 0);
}

#[test]
fn a_command_that_dies_of_the_forwarded_signal_ends_the_run_with_128_and_the_signal() {
    let mut running = start(&[], "echo ready; exec sleep 1000");
    running.wait_for("out", "ready");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 143);
}

#[test]
fn a_command_that_ignores_term_or_int_is_killed_after_the_grace() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let script = format!("trap '' {signal}; echo ready; while :; do sleep 1; done");
        let mut running = start(&["--grace", "1s"], &script);
        running.wait_for("out", "ready");
        running.signal(signal);
        assert_eq!(running.end(), 128 + signal);
        let log = running.read("data/post-hook-output.txt");
        assert!(log.contains("end of attempt"), "the log is sealed: {log}");
        assert!(log.contains("not ended after that (grace 1s), it was killed"), "{log}");
        assert!(!log.contains("OOM"), "the runner killed it, not the kernel: {log}");
    }
}

#[test]
fn a_second_signal_of_the_same_kind_kills_at_once_and_one_of_the_other_kind_is_forwarded() {
    for (first, second) in [(libc::SIGTERM, libc::SIGINT), (libc::SIGINT, libc::SIGTERM)] {
        let script = format!(
            "trap 'echo first' {first}; trap 'echo second' {second}; echo ready; while :; do sleep 0.02; done"
        );
        let mut running = start(&["--grace", "1h"], &script);
        running.wait_for("out", "ready");
        running.signal(first);
        running.wait_for("out", "first");
        running.signal(second);
        running.wait_for("out", "second");
        running.signal(first);
        assert_eq!(running.end(), 128 + first);
        let log = running.read("data/post-hook-output.txt");
        assert!(log.contains("end of attempt"), "the log is sealed");
        assert!(log.contains("it was killed when a second signal to stop came"), "{log}");
    }
}

/// timeout(1) signals the process that it started and then its own group.
#[test]
fn a_runner_under_timeout_gives_its_command_the_whole_grace() {
    needs!(Program("timeout"));
    for _ in 0..5 {
        let test = Test::new();
        let script = "trap 'sleep 0.2; echo handled; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
        let directory = test.into_directory();
        let mut command = with_default_actions("timeout");
        command.args(["60", PROGRAM, "run", "--log", "log", "--", "bash", "-c", script]);
        command.current_dir(directory.path());
        let mut running = Running::start(command, directory);
        running.wait_for("out", "ready");
        // It passes a signal on as it does its own.
        running.signal(libc::SIGTERM);
        assert_eq!(running.end(), 128 + libc::SIGTERM);
        let log = running.read("log");
        assert!(log.contains("handled\n") && log.contains("it exited with 0, within its grace"), "{log}");
    }
}

#[test]
fn the_grace_stays_below_the_pods_own() {
    let test = Test::new().env("HOOK_RUNNER_TERMINATION_GRACE_PERIOD", "5").args([
        "run",
        "--log",
        "none",
        "--grace",
        "1h",
        "--drain",
        "1s",
        "--",
        "bash",
        "-c",
        "trap '' TERM; echo ready; while :; do sleep 1; done",
    ]);
    let command = test.command();
    let mut running = Running::start(command, test.into_directory());
    running.wait_for("out", "ready");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 143, "killed after a second, not after an hour");
}

/// The kubelet kills a pod when its grace period is over; a second of it is left to a machine that is busy.
#[test]
fn the_log_is_sealed_before_the_kubelet_kills_the_pod() {
    let period = 10;
    let test = Test::new().env("HOOK_RUNNER_TERMINATION_GRACE_PERIOD", &period.to_string()).args([
        "run",
        "--log",
        "{}/data/post-hook-output.txt",
        "--grace",
        "1h",
        "--",
        "bash",
        "-c",
        // Both ignore TERM before one of them says so: what is ignored is inherited.
        "trap '' TERM; setsid sleep 1001 & echo ready; while :; do sleep 0.1; done",
    ]);
    let command = test.command();
    let mut running = Running::start(command, test.into_directory());
    running.wait_for("out", "ready");
    running.signal(libc::SIGTERM);
    let kubelet = Instant::now() + Duration::from_secs(period);
    while Instant::now() < kubelet && running.child.try_wait().expect("wait").is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = running.child.kill();
    let log = running.read("data/post-hook-output.txt");
    assert!(log.contains("left sleep (") && log.contains("end of attempt"), "{log}");
}

#[test]
fn a_closed_stdout_is_no_signal_to_the_command() {
    let script =
        "trap 'echo got $(echo PIPE)' PIPE; for i in $(seq 2000); do echo a line of output $i; done; exit 4";
    let test = Test::new().args(["run", "--log", "{}/data/post-hook-output.txt", "--", "bash", "-c", script]);
    let mut command = test.command();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    command.stdout(writer).stderr(std::process::Stdio::null());
    drop(reader);
    let mut child = command.spawn().expect("starts");
    drop(command);
    assert_eq!(child.wait().expect("ends").code(), Some(4));
    let directory = test.into_directory();
    let log = std::fs::read_to_string(directory.path().join("data/post-hook-output.txt")).expect("a log");
    assert!(log.contains("a line of output 2000\n") && !log.contains("got PIPE"), "{log}");
}

#[test]
fn a_signal_that_the_runner_itself_has_caused_is_not_forwarded() {
    let script = "trap 'echo got USR1' USR1; trap 'echo got USR2; exit 4' USR2; echo ready; while :; do sleep 0.02; done";
    for own in [false, true] {
        let mut running = start(&[], script);
        running.wait_for("out", "ready\n");
        let another = i32::try_from(std::process::id()).expect("a process id");
        queue(running.pid(), libc::SIGUSR1, if own { running.pid() } else { another });
        if !own {
            running.wait_for("out", "got USR1\n");
        }
        // Read after the other: signalfd(2) gives the lowest number first.
        running.signal(libc::SIGUSR2);
        assert_eq!(running.end(), 4);
        let out = running.read("out");
        assert_eq!(out.contains("got USR1"), !own, "{out}");
    }
}

/// Sends `signal` with `sender` as the process that it comes from (`rt_sigqueueinfo(2)`).
fn queue(pid: i32, signal: i32, sender: i32) {
    // siginfo_t: number, errno, code, padding, sender.
    let mut info = [0_i32; 32];
    (info[0], info[2], info[4]) = (signal, libc::SI_QUEUE, sender);
    // SAFETY: the call reads a siginfo_t, 128 bytes, from memory that lives across it.
    let sent = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, info.as_ptr()) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn orphans_are_reaped_and_the_commands_status_is_its_own() {
    // Each subshell is orphaned at once and ends while the command still runs.
    let script = "for i in $(seq 100); do (sh -c 'exit 3' &) ; done; echo ready; while ! [ -e stop ]; do sleep 0.02; done; exit 7";
    let mut running = start(&[], script);
    running.wait_for("out", "ready");
    let command = eventually("the command", || {
        children(running.pid()).into_iter().find(|&pid| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("seq 100"))
        })
    });
    eventually("only the command is left, and no zombie", || {
        let mine: Vec<_> = processes().into_iter().filter(|process| process.2 == running.pid()).collect();
        (mine.len() == 1 && mine[0].0 == command && mine[0].1 != 'Z').then_some(())
    });
    std::fs::write(running.path("stop"), "").expect("a file");
    assert_eq!(running.end(), 7);
}

#[test]
fn what_the_command_leaves_behind_is_ended_and_named_in_the_log() {
    let test = Test::new().args([
        "run",
        "--log",
        "{}/data/post-hook-output.txt",
        "--drain",
        "300ms",
        "--",
        "bash",
        "-c",
        "sleep 1000 & bash -c 'trap \"\" TERM; exec -a stubborn sleep 1001' & echo done $!",
    ]);
    let done =
        test.stdout_contains("done ").stderr_contains("sending TERM").stderr_contains("sending KILL").run();
    let log = done.log();
    assert!(log.contains("has ended and left sleep ("), "{log}");
    let stubborn: i32 = done.stdout.trim().trim_start_matches("done ").parse().expect("a process id");
    assert!(log.contains(&format!("({stubborn}), which ignored TERM")), "{log}");
    assert!(!processes().iter().any(|process| process.0 == stubborn && process.1 != 'Z'));
}

#[test]
fn a_daemon_that_does_not_hold_the_output_is_left_alone() {
    let test = Test::new().args([
        "run",
        "--log",
        "{}/data/post-hook-output.txt",
        "--",
        "bash",
        "-c",
        "sleep 1000 >/dev/null 2>&1 & echo $!",
    ]);
    let done = test.any_stdout().stderr_contains("succeeded").run();
    let daemon: i32 = done.stdout.trim().parse().expect("a process id");
    assert!(processes().iter().any(|process| process.0 == daemon && process.1 != 'Z'));
    send(daemon, libc::SIGKILL);
    assert!(!done.log().contains("has ended and left"), "{}", done.log());
}

/// Waits until process `name` in the test's directory has the number of a process that has ended.
pub(crate) fn wait_for_the_end_of(running: &Running, name: &str) {
    let pid: i32 = eventually("its number", || running.read(name).trim().parse().ok());
    eventually("it has ended", || (!processes().iter().any(|process| process.0 == pid)).then_some(()));
}

#[test]
fn a_stop_while_leftovers_are_waited_for_gives_them_the_grace_and_no_more() {
    let left = "trap '' TERM; echo left; while :; do sleep 0.1; done";
    let script =
        format!("setsid sh -c \"{left}\" & until grep -q left out; do sleep 0.02; done; echo $$ >pid");
    let mut running = start(&["--drain", "1h", "--grace", "1s"], &script);
    wait_for_the_end_of(&running, "pid");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end(), 0, "the command's own");
    let log = running.read("data/post-hook-output.txt");
    assert!(log.contains("sending KILL") && log.contains("end of attempt"), "{log}");
}

#[test]
fn a_holder_of_the_output_that_cannot_be_seen_does_not_hold_the_end() {
    let script = "echo $$ >pid; echo ready; while ! [ -e go ]; do sleep 0.02; done; exit 7";
    let mut running = start(&["--drain", "100ms"], script);
    running.wait_for("out", "ready\n");
    // This process is none of the runner's descendants.
    let output = format!("/proc/{}/fd/1", running.read("pid").trim());
    let held = std::fs::OpenOptions::new().write(true).open(output).expect("the command's pipe");
    std::fs::write(running.path("go"), "").expect("a file");
    assert_eq!(running.end(), 7);
    drop(held);
    let log = running.read("data/post-hook-output.txt");
    assert!(log.contains("a process that cannot be seen from here holds its output"), "{log}");
}

#[test]
fn a_leftover_that_has_become_another_user_is_ended_too() {
    needs!(OtherUsers);
    let test = Test::new();
    let directory = test.into_directory();
    let path = |name: &str| directory.path().join(name);
    std::fs::copy("/usr/bin/setsid", path("setsid")).expect("setsid is there");
    std::fs::set_permissions(path("setsid"), std::fs::Permissions::from_mode(0o4755)).expect("a mode");
    chown(directory.path(), Some(65534), Some(65534)).expect("an owner");
    let test = Test::within(directory).args(["run", "--log", "{}/data/post-hook-output.txt"]);
    let test = test.args(["--drain", "100ms", "--", "sh", "-c", "./setsid sleep 1000 & exit 7"]);
    let runner = test.command();
    let mut command = with_default_actions("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(runner.get_program()).args(runner.get_args());
    command.current_dir(runner.get_current_dir().expect("set"));
    let mut running = Running::start(command, test.into_directory());
    assert_eq!(running.end(), 7);
    let log = running.read("data/post-hook-output.txt");
    assert!(log.contains("left sleep (") && log.contains("sending TERM"), "{log}");
}

#[test]
fn a_command_that_has_left_its_group_is_killed_all_the_same() {
    let script = "exec perl -e 'setpgrp(0, getpgrp(getppid())); $SIG{TERM} = \"IGNORE\"; open(P, \">pid\"); print P $$; close P; sleep 1000 while 1'";
    // Without a log, whose pipe would tell who is left.
    let test = Test::new().args(["run", "--log", "none", "--timeout", "2s", "--grace", "100ms", "--"]);
    let test = test.args(["sh", "-c", script]);
    let command = test.command();
    let mut running = Running::start(command, test.into_directory());
    assert_eq!(running.end(), 124);
    wait_for_the_end_of(&running, "pid");
}
