//! `--help` as it is printed, beside golden files. `UPDATE_GOLDEN=1` writes them anew; read the
//! difference before committing it.

use std::path::Path;

use crate::support::harness::Test;

#[test]
fn help_is_what_the_golden_files_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/commands/golden");
    let commands =
        ["", "run", "copy", "sidecar", "logs", "history", "diff", "report", "verify", "check", "install"];
    for command in commands {
        let words = command.split_whitespace().chain(["--help"]);
        let help = Test::new().args(words).any_stdout().run().stdout;
        let name = if command.is_empty() { "help.txt".into() } else { format!("help-{command}.txt") };
        let path = directory.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &help).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(help, golden, "{command} --help differs from {}", path.display());
    }
}

#[test]
fn every_option_of_run_has_an_environment_variable_and_a_key() {
    let help = Test::new().args(["run", "--help"]).any_stdout().run().stdout;
    let schema = Test::new().args(["schema"]).any_stdout().run().stdout;
    let options: Vec<&str> = help
        .lines()
        .map(str::trim)
        .filter_map(|line| line.strip_prefix("--"))
        .map(|line| line.split([' ', '[', '=']).next().unwrap_or_default())
        .collect();
    assert!(options.len() > 40, "{options:?}");
    for option in options {
        let variable = format!("HOOK_RUNNER_{}", option.to_uppercase().replace('-', "_"));
        assert!(help.contains(&variable), "--{option} has no environment variable {variable}");
        // Where the file's word is another: steps are a list there, and a step's option is the step's own key.
        let key = match option {
            "hook" => continue,
            "copy" | "wait-for" => "steps",
            "exec-timeout" => "timeout",
            "wait-header" => "headers",
            "redact-env" => "env",
            "redact-file" => "files",
            "redact" => "literals",
            other => other.strip_prefix("wait-").unwrap_or(other),
        };
        assert!(schema.contains(&format!("\"{key}\": {{")), "--{option} has no key {key} in a hook file");
    }
}
