//! The manual pages: one for each command, and nothing in them that mandoc(1) complains of.

use std::process::Command;

use crate::needs;
use crate::support::harness::Test;

#[test]
fn every_command_has_a_page_with_the_sections_that_readers_look_for() {
    let done = Test::new().file("man1/.keep", "").args(["man", "man1"]).run();
    let help = done.then().args(["--help"]).any_stdout().run();
    let commands = help.stdout.split("Commands:\n").nth(1).expect("commands").split("\n\n").next();
    let commands: Vec<&str> =
        commands.unwrap_or_default().lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"run") && commands.len() > 9, "{commands:?}");
    for command in commands.iter().filter(|command| **command != "help") {
        let page = help.read(&format!("man1/hook-runner-{command}.1"));
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            assert!(page.contains(&format!(".SH {section}\n")), "{command} has no {section}");
        }
    }
    let run = help.read("man1/hook-runner-run.1");
    assert!(run.contains(".SH FILES\n") && run.contains(".SH ENVIRONMENT\n"));
    assert!(run.contains("HOOK_RUNNER_TIMEOUT") && run.contains("HOOK_RUNNER_RELEASE"));
}

#[test]
fn mandoc_finds_nothing_to_complain_of() {
    needs!(Program("mandoc"));
    let done = Test::new().file("man1/.keep", "").args(["man", "man1"]).run();
    for page in
        std::fs::read_dir(done.path("man1")).expect("pages").map(|entry| entry.expect("a page").path())
    {
        if page.extension().is_some_and(|extension| extension == "1") {
            let lint = Command::new("mandoc").args(["-T", "lint"]).arg(&page).output().expect("mandoc");
            assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
        }
    }
}
