//! The README says what is: its console blocks are run, its table is the program's, its files are checked.

use std::path::Path;
use std::process::Command;

use crate::support::harness::PROGRAM;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README")
}

/// The fenced blocks of one language, in order.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("\n```{language}\n");
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(&open) {
        rest = &rest[at + open.len()..];
        let end = rest.find("```").expect("an end of the block");
        found.push(&rest[..end]);
        rest = &rest[end..];
    }
    found
}

/// Whether `line` is `pattern`, in which `[..]` stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        if at + 1 == parts.len() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.is_empty()
}

#[test]
fn every_command_of_the_readme_prints_what_stands_there() {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    std::fs::create_dir_all(at("app/templates")).unwrap();
    std::fs::write(at("app/templates/index.html"), "Cats vs Dogs\n").unwrap();
    std::fs::write(at("app/.env"), "A=1\n").unwrap();
    std::fs::write(
        at("post-install.sh"),
        "#!/bin/sh\nsed -i 's/vs/or/' data/templates/index.html\necho edited 1 line\n",
    )
    .unwrap();
    std::fs::set_permissions(at("post-install.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let text = readme();
    let file = blocks(&text, "yaml")
        .into_iter()
        .find(|block| block.starts_with("# hook.yaml"))
        .expect("a hook file");
    std::fs::write(at("hook.yaml"), file).unwrap();
    let programs = Path::new(PROGRAM).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut commands = 0;
    for block in blocks(&text, "console") {
        for example in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, expected) = example.split_once('\n').unwrap_or((example, ""));
            let output = Command::new("sh")
                .args(["-c", &format!("{command} 2>&1")])
                .current_dir(directory.path())
                .env("PATH", &path)
                .output()
                .unwrap();
            let mut actual = String::from_utf8_lossy(&output.stdout).into_owned();
            if !output.status.success() {
                actual += &format!("? {}\n", output.status.code().expect("a status"));
            }
            let (expected, lines): (Vec<&str>, Vec<&str>) =
                (expected.lines().collect(), actual.lines().collect());
            let same = expected.len() == lines.len()
                && expected.iter().zip(&lines).all(|(pattern, line)| fits(pattern, line));
            assert!(same, "$ {command}\nthe README says:\n{}\nit prints:\n{actual}", expected.join("\n"));
            commands += 1;
        }
    }
    assert!(commands >= 8, "only {commands} commands were found");
}

#[test]
fn the_exit_status_table_is_the_programs() {
    let text = readme();
    let table: String = hook_runner::internals::EXIT_STATUS_TABLE
        .iter()
        .map(|(status, meaning, policy)| format!("| {status} | {meaning} | {policy} |\n"))
        .collect();
    assert!(text.contains(&table), "the README's table differs from\n{table}");
}

#[test]
fn the_targets_that_the_readme_names_exist() {
    let makefile = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile")).unwrap();
    for line in readme().lines().map(str::trim).filter(|line| line.starts_with("make ")) {
        let target = line.split_whitespace().nth(1).expect("a target");
        assert!(makefile.contains(&format!("\n{target}:")), "{target}");
    }
}
