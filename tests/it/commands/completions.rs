//! Completions in real shells on a terminal: what a Tab makes of a beginning is run, and its output says whether it was right.

use std::path::Path;
use std::process::Command;

use crate::needs;
use crate::support::harness::{PROGRAM, Test};
use crate::support::running::Running;
use crate::support::terminal::Terminal;

/// What is typed, and what the command line that comes of it prints.
const TYPED: [(&str, &str); 6] = [
    // A command, and a directory.
    ("hook-runner his\tvolu\t\n", "STARTED"),
    // An option, and one of its words.
    ("hook-runner check --pol\tk\t --copy first:b\n", "1. copy first to b"),
    ("hook-runner check --log-failure=w\t --copy second:b\n", "1. copy second to b"),
    // A file.
    ("hook-runner check a-hook-f\t\n", "a-hook-file.yaml: a hook with 1 step"),
    // The id of a run in a log that the line names.
    ("hook-runner logs volume --run qu\t\n", "words of the quick run"),
    // What follows `--` is a command of the system.
    ("hook-runner run --log none -- a-command-of\t\n", "the command ran"),
];

/// Types each line into the shell that `words` start, once `setup` has loaded the completions.
fn complete(words: &[&str], setup: &str) {
    let test = Test::new().args(["run", "--log", "volume/post-hook-output.txt", "--run-id", "quick-1"]);
    let test = test.args(["--", "echo", "words of the quick run"]).any_stdout().any_stderr();
    let done = test.run().then().args(["run", "--log", "volume/post-hook-output.txt", "--run-id", "slow-1"]);
    let done = done.args(["--", "echo", "other words"]).any_stdout().any_stderr().run();
    let directory = done
        .then()
        .file("a-hook-file.yaml", "log: none\nsteps: [{exec: {command: [a]}}]\n")
        .script("bin/a-command-of-ours", "#!/bin/sh\necho the command ran\n")
        .into_directory();

    let terminal = Terminal::open();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).args(words).current_dir(directory.path());
    let programs = Path::new(PROGRAM).parent().expect("a directory").display().to_string();
    let bin = directory.path().join("bin").display().to_string();
    let path = std::env::var("PATH").expect("a PATH");
    command.env("PATH", format!("{bin}:{programs}:{path}")).env("TERM", "dumb");
    command.env("HOME", directory.path()).env("TMPDIR", directory.path());
    let mut shell = Running::start_in(command, directory, &terminal);
    // The words come back by what the shell prints, not by the echo of what was typed.
    terminal.type_in(&format!("{setup}; echo load''ed\n"));
    terminal.wait_for("loaded");
    for (typed, printed) in TYPED {
        terminal.type_in(typed);
        terminal.wait_for(printed);
    }
    terminal.type_in("exit\n");
    assert_eq!(shell.end(), 0, "{}", terminal.screen());
}

#[test]
fn bash_completes_commands_options_values_files_and_runs() {
    needs!(Program("bash"));
    complete(&["bash", "--norc", "--noprofile", "-i"], "source <(hook-runner completions bash)");
}

#[test]
fn zsh_completes_commands_options_values_files_and_runs() {
    needs!(Program("zsh"));
    let setup = "autoload -Uz compinit && compinit -u -D && source <(hook-runner completions zsh)";
    complete(&["zsh", "-f", "-i"], setup);
}

#[test]
fn fish_completes_commands_options_values_files_and_runs() {
    needs!(Program("fish"));
    complete(&["fish", "--no-config", "-i"], "hook-runner completions fish | source");
}
