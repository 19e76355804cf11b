//! Being PID 1 and less in a terminal: whose it is, and what its keys do.

use std::process::Stdio;

use crate::support::harness::{PROGRAM, Test, eventually, with_default_actions};
use crate::support::needs::{Need, met, unshare};
use crate::support::running::Running;
use crate::support::terminal::Terminal;

/// Runs a shell line in a terminal of its own (script(1) of util-linux) with `typed` as its keyboard.
fn in_terminal(line: &str, typed: &[(&str, &str)]) -> String {
    sent_to_terminal(line, typed).replace('\r', "")
}

/// As [`in_terminal`], with the carriage returns.
fn sent_to_terminal(line: &str, typed: &[(&str, &str)]) -> String {
    use std::io::{Read, Write};
    let mut command = with_default_actions("script");
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
    String::from_utf8_lossy(&seen).into_owned()
}

/// The lines of a screen of `width` columns.
fn screen(sent: &str, width: usize) -> Vec<String> {
    let mut lines = vec![vec![' '; width]];
    let mut column = 0;
    for letter in sent.chars() {
        match letter {
            '\r' => column = 0,
            '\n' => lines.push(vec![' '; width]),
            _ => {
                if column == width {
                    lines.push(vec![' '; width]);
                    column = 0;
                }
                lines.last_mut().expect("a line")[column] = letter;
                column += 1;
            }
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}

#[test]
fn in_a_terminal_the_summary_begins_its_own_line() {
    for text in ["no-end", "end\\\\n"] {
        let line = format!("stty cols 200; {PROGRAM} run --log none -- printf {text}");
        let lines = screen(&sent_to_terminal(&line, &[]), 200);
        let summary = lines.iter().position(|line| line.starts_with("hook-runner: attempt 1 of run"));
        let before = &lines[summary.expect("a summary") - 1];
        assert!(before == text.trim_end_matches(r"\\n"), "{lines:#?}");
    }
}

#[test]
fn in_a_terminal_the_command_reads_the_keyboard_and_gets_its_interrupt() {
    let read = format!("{PROGRAM} run --log none -- bash -c 'read -p name? x; echo hello $x'");
    assert!(in_terminal(&read, &[("name?", "world\n")]).contains("hello world\n"));
    let trap = format!(
        "{PROGRAM} run --log none -- bash -c 'trap \"echo INT; exit 9\" INT; echo up; while :; do sleep 0.02; done'; echo status $?"
    );
    let screen = in_terminal(&trap, &[("up", "\u{3}")]);
    // A key that is pressed before the terminal is handed over is the runner's to pass on: then it is a stop.
    let ended =
        screen.contains("status 9") || screen.contains("passed on to bash") && screen.contains("status 130");
    assert!(screen.contains("INT\n") && ended, "{screen}");
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
    if !met(&[Need::PidNamespace]) {
        return None;
    }
    let leading = ["--pid", "--fork", "--mount-proc", "--kill-child", "setsid", "--ctty"];
    let test = Test::new().args(["run", "--setsid"]).args(options).args(["--"]).args(command);
    let runner = test.command();
    let mut command = with_default_actions("unshare");
    command.args(unshare().get_args()).args(leading).arg(runner.get_program()).args(runner.get_args());
    command.current_dir(runner.get_current_dir().expect("set"));
    let terminal = Terminal::open();
    let running = Running::start_in(command, test.into_directory(), &terminal);
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
        // The screen is read by a thread of its own.
        terminal.wait_for("got INT\n");
        let screen = terminal.screen();
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
    assert_eq!(running.end(), 130, "{}", terminal.screen());
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
