//! Being PID 1: how the command is started, and what is said when it cannot be.

use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::harness::{PROGRAM, Test, eventually};
use crate::require_root;
use crate::running::{Running, as_pid_1, children, send};
use crate::terminal::Terminal;

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
}

#[test]
fn a_command_that_is_not_there_is_127() {
    refused(Test::new(), "{}/nothing", 127, "no such file");
    refused(Test::new(), "no-such-command-anywhere", 127, "not found in PATH");
}

#[test]
fn a_script_on_a_noexec_mount_is_126_and_says_so() {
    require_root!("a script on a noexec mount");
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

/// Blocked and ignored signals as /proc shows them, without 32 to 34: the C libraries of the programs in between
/// (glibc, once it has a thread) change what they keep for themselves.
fn signal_sets(shown: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(shown);
    let sets: Vec<u64> = text
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split_once('\t')?.1, 16).ok())
        .map(|set| set & !(0b111 << 31))
        .collect();
    assert_eq!(sets.len(), 2, "{text}");
    sets
}

#[test]
fn the_command_has_the_mask_and_the_dispositions_that_the_runner_was_started_with() {
    let show = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"];
    for options in [
        vec![],
        vec!["--ignore-signal=HUP", "--ignore-signal=PIPE", "--block-signal=USR1"],
        vec!["--ignore-signal=CHLD", "--block-signal=TERM"],
        vec!["--ignore-signal=CHLD", "--ignore-signal=PIPE"],
    ] {
        let alone = Command::new("env").args(&options).args(show).output().expect("env is there");
        for log in ["none", "{}/data/log"] {
            let test = Test::new().args(["run", "--log", log, "--"]).args(show);
            let runner = test.command();
            let mut command = Command::new("env");
            command.args(&options).arg(runner.get_program()).args(runner.get_args());
            let output = command.stderr(Stdio::null()).output().expect("starts");
            assert_eq!(output.status.code(), Some(0), "{options:?} {log}");
            assert_eq!(signal_sets(&output.stdout), signal_sets(&alone.stdout), "{options:?} {log}");
        }
    }
}

#[test]
fn descriptors_0_1_and_2_are_open_and_no_other_is_leaked() {
    let list = "ls /proc/self/fd | tr '\\n' ' ' > {}/seen";
    let seen = |command: &mut Command, directory: &tempfile::TempDir| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().expect("starts").success());
        std::fs::read_to_string(directory.path().join("seen")).expect("the list")
    };
    let directory = tempfile::tempdir().expect("a directory");
    let line = list.replace("{}", &directory.path().to_string_lossy());
    // What this test was started with is passed on to everyone.
    let alone = seen(Command::new("sh").args(["-c", &line]), &directory);
    assert!(alone.starts_with("0 1 "), "{alone}");
    let all = ["--copy", "app:data", "--wait-for", "file:app", "--split-streams", "--max-log", "1MiB"];
    for (log, options) in [("none", &[][..]), ("{}/data/log", &[]), ("{}/data/log", &all)] {
        for closed in ["", "<&-", "<&- >&-", "<&- >&- 2>&-"] {
            let test = Test::new().file("app/file", "content").args(["run", "--log", log]).args(options);
            let test = test.args(["--", "sh", "-c", list]);
            let runner = test.command();
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exec \"$@\" {closed}"), "sh"]);
            command.arg(runner.get_program()).args(runner.get_args());
            let directory = test.into_directory();
            command.current_dir(directory.path());
            assert_eq!(seen(&mut command, &directory), alone, "{log} {options:?} {closed}");
        }
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
        (!crate::running::processes().iter().any(|process| process.2 == init && process.1 == 'Z'))
            .then_some(())
    });
    send(init, nix::libc::SIGTERM);
    assert_eq!(running.end(), 9);
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
    assert_eq!(running.end(), 137);
    assert!(running.read("data/log").contains("end of attempt"));
}

#[test]
fn as_the_child_of_another_init_it_is_as_transparent() {
    if Command::new("tini").arg("--version").output().is_err() {
        crate::harness::say_not_run("NOT RUN (needs tini): the runner as a child of another init");
        assert!(std::env::var_os("HOOK_RUNNER_REQUIRE_ROOT").is_none(), "tini is not installed");
        return;
    }
    let start = |script: &str| {
        let test = Test::new();
        let mut command = Command::new("tini");
        command.args(["-s", "--", PROGRAM, "run", "--log", "none", "--", "bash", "-c", script]);
        Running::start(command, test.into_directory())
    };
    assert_eq!(start("exit 5").end(), 5);
    let mut running = start("trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done");
    running.wait_for("out", "ready");
    running.signal(nix::libc::SIGTERM);
    assert_eq!(running.end(), 9);
}

/// Runs a shell line in a terminal of its own (script(1) of util-linux) with `typed` as its keyboard.
fn in_terminal(line: &str, typed: &[(&str, &str)]) -> String {
    use std::io::{Read, Write};
    let mut command = Command::new("script");
    command.args(["-qec", line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("script is there");
    let mut keyboard = child.stdin.take().expect("a pipe");
    let mut screen = child.stdout.take().expect("a pipe");
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    let mut typed = typed.iter();
    let mut next = typed.next();
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((prompt, keys)) = next
            && text.contains(prompt)
        {
            keyboard.write_all(keys.as_bytes()).expect("a keyboard");
            next = typed.next();
            continue;
        }
        match screen.read(&mut chunk).expect("a screen") {
            0 => break,
            n => seen.extend_from_slice(&chunk[..n]),
        }
    }
    child.wait().expect("ends");
    assert!(next.is_none(), "never asked: {next:?}; {}", String::from_utf8_lossy(&seen));
    String::from_utf8_lossy(&seen).replace('\r', "")
}

#[test]
fn in_a_terminal_the_command_reads_the_keyboard_and_gets_its_interrupt() {
    let read = format!("{PROGRAM} run --log none -- bash -c 'read -p name? x; echo hello $x'");
    assert!(in_terminal(&read, &[("name?", "world\n")]).contains("hello world\n"));
    let trap = format!(
        "{PROGRAM} run --log none -- bash -c 'trap \"echo INT; exit 9\" INT; echo up; while :; do sleep 0.02; done'; echo status $?"
    );
    let screen = in_terminal(&trap, &[("up", "\u{3}")]);
    assert!(screen.contains("INT\n") && screen.contains("status 9"), "{screen}");
}

#[test]
fn in_a_terminal_a_stopped_command_gives_the_shell_back_and_is_continued_by_fg() {
    let job =
        format!("{PROGRAM} run --log none -- bash -c \"echo up; kill -TSTP \\$\\$; read x; echo got \\$x\"");
    let line = format!("bash -mc '{job}; echo stopped $?; fg; echo ended $?'");
    let screen = in_terminal(&line, &[("stopped 1", "again\n")]);
    assert!(screen.contains("got again\n") && screen.contains("ended 0"), "{screen}");
}

/// The runner as PID 1 of a container with a terminal: it leads the terminal's session.
fn as_pid_1_in_a_terminal(options: &[&str], command: &[&str]) -> Option<(Running, Terminal)> {
    let user: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let leading = ["--pid", "--fork", "--mount-proc", "--kill-child", "setsid", "--ctty"];
    let possible = Command::new("unshare").args(user).args(["--pid", "--fork", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        assert!(!crate::harness::is_root("being PID 1 in a terminal"), "root can make PID namespaces");
        return None;
    }
    let test = Test::new().args(["run", "--setsid"]).args(options).args(["--"]).args(command);
    let runner = test.command();
    let mut unshare = Command::new("unshare");
    unshare.args(user).args(leading).arg(runner.get_program()).args(runner.get_args());
    unshare.current_dir(runner.get_current_dir().expect("set"));
    let terminal = Terminal::open();
    let running = Running::start_in(unshare, test.into_directory(), &terminal);
    Some((running, terminal))
}

#[test]
fn as_pid_1_with_a_terminal_setsid_hands_it_to_the_commands_session() {
    let script = "trap 'echo got INT; exit 9' INT; trap 'echo got HUP' HUP; trap 'echo got CONT' CONT; \
                  echo to the terminal >/dev/tty; ps -o pgid=,tpgid= -p $$ | tr -s ' ' '\\n'; echo ready; \
                  while :; do sleep 0.02; done";
    for log in ["none", "{}/data/log"] {
        let Some((mut running, terminal)) = as_pid_1_in_a_terminal(&["--log", log], &["bash", "-c", script])
        else {
            return;
        };
        terminal.wait_for("ready");
        let screen = terminal.screen();
        assert!(screen.contains("to the terminal\n"), "{screen}");
        let ids: Vec<&str> = screen.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
        assert!(ids.len() == 2 && ids[0] == ids[1], "not in the foreground: {screen}");
        terminal.type_in("\u{3}");
        assert_eq!(running.end(), 9, "{}", terminal.screen());
        let screen = terminal.screen();
        assert!(screen.contains("got INT\n"), "{screen}");
        assert!(!screen.contains("got HUP") && !screen.contains("got CONT"), "{screen}");
        assert!(log == "none" || running.read("data/log").contains("got INT\n"));
    }
}

#[test]
fn as_pid_1_with_a_terminal_job_control_works_under_setsid() {
    let Some((mut running, terminal)) =
        as_pid_1_in_a_terminal(&["--log", "{}/data/log"], &["env", "PS1=prompt: ", "sh", "-i"])
    else {
        return;
    };
    terminal.wait_for("prompt: ");
    terminal.type_in("sh -c 'echo child $((1+1)); exec sleep 1000'\n");
    terminal.wait_for("child 2\n");
    terminal.type_in("\u{1a}");
    terminal.wait_for("Stopped");
    terminal.type_in("fg\n");
    // The shell says what it continues, after the line that was typed.
    eventually("it goes on", || (terminal.screen().matches("exec sleep 1000").count() > 2).then_some(()));
    terminal.type_in("\u{3}");
    terminal.wait_for("^C");
    terminal.type_in("echo status $?\n");
    terminal.wait_for("status 130\n");
    terminal.type_in("exit 4\n");
    assert_eq!(running.end(), 4, "{}", terminal.screen());
    let screen = terminal.screen();
    assert!(!screen.contains("job control") && !screen.contains("can't access tty"), "{screen}");
}

#[test]
fn as_pid_1_the_terminal_is_the_runners_again_between_two_tries_and_the_next_commands_then() {
    let options = ["--log", "none", "--retries", "2", "--backoff", "1s"];
    let Some((mut running, terminal)) = as_pid_1_in_a_terminal(
        &options,
        &["bash", "-c", "echo terminal $(tty </dev/tty | head -c 5); exit 5"],
    ) else {
        return;
    };
    terminal.wait_for("retry 1 of 2");
    terminal.wait_for("retry 2 of 2 in 2s");
    terminal.type_in("\u{3}");
    assert_eq!(running.end(), 5, "{}", terminal.screen());
    assert_eq!(terminal.screen().matches("terminal /dev/\n").count(), 2, "{}", terminal.screen());
}

#[test]
fn started_from_a_shell_setsid_leaves_the_shell_its_terminal() {
    let run = format!(
        "{PROGRAM} run --setsid --log none -- sh -c 'if (: >/dev/tty) 2>/dev/null; then echo mine; else echo not mine; fi'"
    );
    let line = format!("bash -c \"{run}; read -p name? x </dev/tty; echo hello \\$x\"");
    let screen = in_terminal(&line, &[("name?", "world\n")]);
    assert!(screen.contains("not mine\n") && screen.contains("hello world\n"), "{screen}");
}
