//! The README says what is: its console blocks are run, its table is the program's, its files are checked.

use std::path::Path;
use std::process::Command;

use crate::support::harness::{PROGRAM, Test};

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

/// Runs each command of the console blocks of `text` and compares what it prints; answers how many there were.
#[track_caller]
fn run_examples(text: &str, directory: &Path, path: &str) -> usize {
    let mut commands = 0;
    for block in blocks(text, "console") {
        for example in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, expected) = example.split_once('\n').unwrap_or((example, ""));
            let output = Command::new("sh")
                .args(["-c", &format!("{command} 2>&1")])
                .current_dir(directory)
                .env("PATH", path)
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
            assert!(same, "$ {command}\nthe page says:\n{}\nit prints:\n{actual}", expected.join("\n"));
            commands += 1;
        }
    }
    commands
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
    let commands = run_examples(&text, directory.path(), &path);
    assert!(commands >= 8, "only {commands} commands were found");
}

/// The plugin's own way to the volume is tried on a cluster (tests/cluster); here its words go to the program on the same
/// volume.
const HOOK_LOG: &str = r#"#!/bin/sh
[ "$1 $2" = "hook-log vote" ] || { echo "kubectl $*?"; exit 64; }
shift 2
[ "$1" != verify ] || set -- "$@" data
HOOK_RUNNER_LOG=data exec hook-runner "$@"
"#;

#[test]
fn every_command_of_the_page_for_three_in_the_morning_prints_what_stands_there() {
    let release = |test: Test, run: &str, revision: &str, status: i32| {
        let copy =
            ["run", "--run-id", run, "--copy", "app:data", "--policy", "keep-modified", "--prune", "owned"];
        let event = if revision == "1" { "post-install" } else { "post-upgrade" };
        test.args(copy)
            .args(["--wait-for", "file:data/index.html", "--", "./migrate.sh"])
            .env("HOOK_RUNNER_RELEASE", "vote")
            .env("HOOK_RUNNER_REVISION", revision)
            .env("HOOK_RUNNER_HOOK_EVENT", event)
            .status(status)
            .any_stdout()
            .any_stderr()
            .run()
    };
    let test = Test::new()
        .script("bin/kubectl", HOOK_LOG)
        .script("migrate.sh", "#!/bin/sh\necho 'ok   migration 0001 applied'\n")
        .file("app/index.html", "cats\n")
        .file("app/app.py", "print()\n")
        .file("app/old.css", "h1 {}\n")
        .file("app/options.txt", "cats\n");
    let done = release(test, "3f2a9c11-6d0e", "1", 0);
    std::fs::remove_file(done.path("app/old.css")).unwrap();
    let failing = "#!/bin/sh\necho 'ok   migration 0001 is applied'\necho 'error: relation \"votes\" does not exist'\n\
                   echo '  at migrate.sql:12'\nexit 3\n";
    let mut test = done
        .then()
        .file("app/index.html", "dogs, too\n")
        .file("app/results.html", "none\n")
        .file("app/options.txt", "fish\n")
        .file("data/options.txt", "birds\n")
        .script("migrate.sh", failing);
    for _ in 0..2 {
        test = release(test, "5bb1c2d3-9a41", "2", 3).then();
    }
    let directory = test.into_directory();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/three-in-the-morning.md");
    let bin = directory.path().join("bin");
    let programs = Path::new(PROGRAM).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{path}", bin.display(), programs.display());
    let text = std::fs::read_to_string(page).expect("the page");
    assert_eq!(run_examples(&text, directory.path(), &path), 5, "five commands");
    let report = std::fs::read_to_string(directory.path().join("vote.html")).expect("the report");
    assert!(report.contains("relation &quot;votes&quot; does not exist"));
    assert!(readme().contains("(docs/three-in-the-morning.md)"), "the README leads there");
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
