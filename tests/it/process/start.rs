//! Being PID 1: how the command is started, and what is said when it cannot be.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::needs;
use crate::support::harness::{PROGRAM, Test, eventually, with_default_actions};
use crate::support::running::{Running, as_pid_1, children, send};

fn refused(test: Test, command: &str, status: i32, cause: &str) {
    test.args(["run", "--log", "none", "--", command]).status(status).stderr_contains(cause).run();
}

fn executable(content: impl AsRef<[u8]>) -> Test {
    use std::os::unix::fs::PermissionsExt;
    let test = Test::new().file("hook", content);
    let directory = test.into_directory();
    let path = directory.path().join("hook");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    Test::within(directory)
}

#[test]
fn a_command_that_cannot_be_executed_is_126_and_the_cause_is_named() {
    let elf = |machine: u8| {
        let mut header = vec![0_u8; 64];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (header[16], header[18], header[20]) = (2, machine, 1);
        header
    };
    let other = if cfg!(target_arch = "x86_64") { (183, "aarch64") } else { (62, "x86_64") };
    refused(Test::new().file("hook", "#!/bin/sh\n"), "{}/hook", 126, "defaultMode: 0555");
    refused(executable("#!/bin/sh\r\necho x\r\n"), "{}/hook", 126, "ends in CRLF");
    refused(
        executable("#!/opt/python3\n"),
        "{}/hook",
        126,
        "interpreter /opt/python3, which is not in this image",
    );
    refused(executable(elf(other.0)), "{}/hook", 126, &format!("it is a program for {}", other.1));
    refused(executable("echo no first line\n"), "{}/hook", 126, "begin the script with `#!/bin/sh`");
    refused(executable("\u{feff}#!/bin/sh\n"), "{}/hook", 126, "byte order mark");
    refused(executable(""), "{}/hook", 126, "it is empty");
    refused(Test::new().file("hook/inside", ""), "{}/hook", 126, "it is a directory");
    // This machine's own, and cut short: the kernel says "Exec format error" and no more.
    let own = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    refused(executable(elf(own)), "{}/hook", 126, "its file is cut short, or was made for another system");
    refused(
        executable("\u{7f}ELFxx"),
        "{}/hook",
        126,
        "its file is cut short, or was made for another system",
    );
    let circle = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink("hook", circle.path().join("hook")).expect("a link");
    refused(Test::within(circle), "{}/hook", 126, "check the path, and what is mounted there");
    refused(
        Test::new(),
        &format!("{{}}/{}", "x".repeat(256)),
        126,
        "check the path, and what is mounted there",
    );
}

#[test]
fn a_command_that_is_not_there_is_127() {
    refused(Test::new(), "{}/nothing", 127, "no such file");
    refused(Test::new(), "no-such-command-anywhere", 127, "not found in PATH");
}

#[test]
fn a_script_on_a_noexec_mount_is_126_and_says_so() {
    needs!(Mount);
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("a directory");
    mount(Some("tmpfs"), &data, Some("tmpfs"), MsFlags::MS_NOEXEC, Some("size=1m")).expect("a tmpfs");
    let test = Test::within(directory).script("data/hook", "#!/bin/sh\n");
    let command = test.args(["run", "--log", "none", "--", "{}/data/hook"]);
    let output = command.command().output().expect("starts");
    umount2(&data, MntFlags::MNT_DETACH).expect("unmounts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(126), "{err}");
    assert!(err.contains("mounted noexec"), "{err}");
}

/// Blocked and ignored signals, bit n-1 for signal n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signals {
    blocked: u64,
    ignored: u64,
}

/// As the command is shown by the kernel.
fn shown(status: &[u8]) -> Signals {
    let text = String::from_utf8_lossy(status);
    let set = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
        u64::from_str_radix(line.trim(), 16).expect("a set")
    };
    Signals { blocked: set("SigBlk:"), ignored: set("SigIgn:") }
}

/// Has `command` begin with exactly these. The kernel is asked: the C libraries leave out what they keep for themselves.
fn begin_with(command: &mut Command, signals: Signals) {
    let set = move || {
        for signal in (1..=64).filter(|signal| signals.ignored & 1 << (signal - 1) != 0) {
            let action = [libc::SIG_IGN as u64, 0, 0, 0];
            // SAFETY: rt_sigaction(2) reads a structure of the kernel's size that lives across the call.
            unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), 0, size_of::<u64>()) };
        }
        let blocked = signals.blocked;
        // SAFETY: rt_sigprocmask(2) reads 8 bytes that live across the call.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const blocked,
                0,
                size_of::<u64>(),
            )
        };
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(set) };
}

#[test]
fn the_command_has_the_mask_and_the_dispositions_that_the_runner_was_started_with() {
    let set = |signals: &[i32]| signals.iter().fold(0, |set, signal| set | 1_u64 << (signal - 1));
    let all = !set(&[libc::SIGKILL, libc::SIGSTOP]);
    // What a shell's `&` ignores, what nohup(1) does, what systemd and Python ignore, what would have the kernel
    // reap the command, and what the C libraries keep for themselves.
    for (blocked, ignored) in [
        (0, 0),
        (set(&[libc::SIGUSR1]), set(&[libc::SIGPIPE, libc::SIGHUP])),
        (set(&[libc::SIGTERM, libc::SIGCHLD]), set(&[libc::SIGINT, libc::SIGQUIT])),
        (set(&[libc::SIGTERM]), set(&[libc::SIGCHLD])),
        (0, set(&[libc::SIGCHLD, libc::SIGPIPE])),
        (set(&[33, 34, 35, 64]), set(&[32, 34, 64])),
        (set(&[32, 33, 34, 64]), set(&[libc::SIGCHLD, 33, 64])),
        (all, all),
    ] {
        let given = Signals { blocked, ignored };
        for options in [&["--log", "none"][..], &["--log", "{}/data/log"], &["--log", "none", "--setsid"]] {
            let test = Test::new().args(["run"]).args(options).args(["--", "cat", "/proc/self/status"]);
            let mut command = test.command();
            begin_with(&mut command, given);
            let output = command.output().expect("starts");
            assert_eq!(
                output.status.code(),
                Some(0),
                "{given:x?} {options:?} {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let found = shown(&output.stdout);
            assert_eq!(found.ignored, given.ignored, "{found:x?}, {given:x?} {options:?}");
            // The C libraries unblock these when they start, but nothing may be blocked that was not.
            let kept = set(&[32, 33, 34]);
            assert_eq!(found.blocked & !kept, given.blocked & !kept, "{found:x?}, {given:x?} {options:?}");
            assert_eq!(found.blocked & !given.blocked, 0, "{found:x?}, {given:x?} {options:?}");
        }
    }
}

/// What a process has open: a shell lists its own.
const LIST: &str = "for fd in /proc/$$/fd/*; do echo \"${fd##*/} $(readlink \"$fd\")\"; done";

#[test]
fn descriptors_0_1_and_2_are_open_and_no_other_is_leaked() {
    let list = format!("exec >{{}}/seen 2>/dev/null; {LIST}");
    let seen = |command: &mut Command, directory: &tempfile::TempDir| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().expect("starts").success(), "{command:?}");
        std::fs::read_to_string(directory.path().join("seen")).expect("the list")
    };
    let numbers = |list: &str| -> Vec<String> {
        list.lines().filter_map(|line| line.split(' ').next()).map(Into::into).collect()
    };
    let directory = tempfile::tempdir().expect("a directory");
    let line = list.replace("{}", &directory.path().to_string_lossy());
    // What this test was started with is passed on to everyone.
    let alone = numbers(&seen(with_default_actions("bash").args(["-c", &line]), &directory));
    for standard in ["0", "1", "2"] {
        assert!(alone.contains(&standard.to_owned()), "{alone:?}");
    }
    let all = ["--copy", "app:data", "--wait-for", "file:app", "--split-streams", "--max-log", "1MiB"];
    let closed = ["", "<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"];
    for (log, options) in [("none", &[][..]), ("{}/data/log", &[]), ("{}/data/log", &all)] {
        for closed in closed {
            let test = Test::new().file("app/file", "content").args(["run", "--log", log]).args(options);
            // At the second try the runner has all open that it ever has.
            let again = format!("[ -e tried ] || {{ touch tried; echo first; exit 1; }}; {list}");
            let test = test.args(["--retries", "1", "--backoff", "1ms", "--", "bash", "-c", &again]);
            let runner = test.command();
            let mut command = with_default_actions("sh");
            command.args(["-c", &format!("exec \"$@\" {closed}"), "sh"]);
            command.arg(runner.get_program()).args(runner.get_args());
            let directory = test.into_directory();
            command.current_dir(directory.path());
            let shown = seen(&mut command, &directory);
            assert_eq!(numbers(&shown), alone, "{log} {options:?} {closed}: {shown}");
            // A log takes the place of 1 and 2.
            assert!(!closed.contains('<') || shown.contains("0 /dev/null\n"), "{closed}: {shown}");
        }
    }
}

/// A job server's pipe (make(1)), a socket of its starter's (`sd_listen_fds`(3)): at any number, and as they were.
#[test]
fn descriptors_that_the_runner_was_given_are_the_commands_and_no_other_is() {
    let script = format!("exec >{{}}/seen 2>/dev/null; {LIST}");
    let odd = "exec 0</dev/zero 3<{}/three 5<>{}/five 7</dev/full 63<{}/three 200<{}/three; exec \"$@\"";
    let test = || Test::new().file("three", "3").file("five", "5").file("app/file", "content");
    let given = |test: Test, direct: bool| {
        let runner = test.command();
        let mut command = with_default_actions("bash");
        let directory = test.into_directory();
        let placed = |text: &str| text.replace("{}", &directory.path().to_string_lossy());
        command.args(["-c", &placed(odd), "bash"]).current_dir(directory.path());
        if direct {
            command.args(["bash", "-c", &placed(&script)]);
        } else {
            command.arg(runner.get_program()).args(runner.get_args());
        }
        let output = command.output().expect("starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let seen = std::fs::read_to_string(directory.path().join("seen")).expect("the list");
        let seen = seen.replace(&*directory.path().to_string_lossy(), "{}");
        // The shell reads from a pipe of its own, each time from another.
        let lines = seen.lines().map(|line| line.split(":[").next().unwrap_or_default().to_owned() + "\n");
        lines.collect::<String>()
    };
    let alone = given(test(), true);
    for expected in ["0 /dev/zero", "3 {}/three", "5 {}/five", "7 /dev/full", "63 {}/three", "200 {}/three"] {
        assert!(alone.lines().any(|line| line == expected), "{expected} in {alone}");
    }
    for options in [
        &["--log", "none"][..],
        &["--log", "{}/data/log"],
        &["--log", "{}/data/log", "--copy", "app:data", "--split-streams", "--max-log", "1MiB"],
    ] {
        let run = test().args(["run"]).args(options).args(["--", "bash", "-c", &script]);
        assert_eq!(given(run, false), alone, "{options:?}");
    }
}

#[test]
fn stdin_is_passed_through() {
    Test::new()
        .args(["run", "--log", "{}/data/log", "--", "cat"])
        .stdin("from outside\n")
        .stdout("from outside\n")
        .any_stderr()
        .run();
}

#[test]
fn the_command_leads_its_own_group_and_with_setsid_its_own_session() {
    let show = "read pid comm state ppid pgrp sid rest < /proc/self/stat; echo $pid $pgrp $sid";
    for (options, session) in [(vec![], false), (vec!["--setsid"], true)] {
        let done = Test::new()
            .args(["run", "--log", "none"])
            .args(options)
            // The shell itself reads, so that `self` is the command.
            .args(["--", "bash", "-c", show])
            .any_stdout()
            .any_stderr()
            .run();
        let numbers: Vec<&str> = done.stdout.split_ascii_whitespace().collect();
        assert_eq!(numbers[0], numbers[1], "{}", done.stdout);
        assert_eq!(numbers[0] == numbers[2], session, "{}", done.stdout);
    }
}

#[test]
fn as_pid_1_signals_are_forwarded_orphans_reaped_and_the_status_passed_on() {
    let script = "echo parent $PPID; for i in $(seq 20); do (sh -c 'exit 3' &) ; done; trap 'exit 9' TERM; \
                  echo ready; while :; do sleep 0.02; done";
    let test = Test::new().args(["run", "--log", "{}/data/log", "--", "bash", "-c", script]);
    let Some(mut running) = as_pid_1(test) else { return };
    running.wait_for("out", "ready");
    assert!(running.read("out").starts_with("parent 1\n"), "{}", running.read("out"));
    let init = children(running.pid())[0];
    eventually("no zombies under PID 1", || {
        (!crate::support::running::processes().iter().any(|process| process.2 == init && process.1 == 'Z'))
            .then_some(())
    });
    send(init, nix::libc::SIGTERM);
    assert_eq!(running.end(), 143);
    assert!(running.read("data/log").contains("end of attempt"));
}

#[test]
fn as_pid_1_a_command_that_ignores_term_is_killed_and_the_log_sealed() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
    let test =
        Test::new().args(["run", "--log", "{}/data/log", "--grace", "500ms", "--", "bash", "-c", script]);
    let Some(mut running) = as_pid_1(test) else { return };
    running.wait_for("out", "ready");
    send(children(running.pid())[0], nix::libc::SIGTERM);
    assert_eq!(running.end(), 143);
    assert!(running.read("data/log").contains("end of attempt"));
}

#[test]
fn as_the_child_of_another_init_it_is_as_transparent() {
    needs!(Program("tini"));
    let start = |script: &str| {
        let test = Test::new();
        let mut command = with_default_actions("tini");
        command.args(["-s", "--", PROGRAM, "run", "--log", "none", "--", "bash", "-c", script]);
        Running::start(command, test.into_directory())
    };
    assert_eq!(start("exit 5").end(), 5);
    let mut running = start("trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done");
    running.wait_for("out", "ready");
    running.signal(nix::libc::SIGTERM);
    assert_eq!(running.end(), 143);
}
