//! `make install`: the program, its manual pages and its completions, where a packager asks for them.

use std::path::Path;
use std::process::Command;

use crate::needs;
use crate::support::harness::PROGRAM;

#[test]
fn make_install_puts_program_pages_and_completions_below_destdir_and_prefix() {
    needs!(Program("make"));
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("a place");
    let output = Command::new("make")
        .args(["--no-print-directory", "install", "PREFIX=/opt/tools"])
        .arg(format!("DESTDIR={}", destination.display()))
        .arg(format!("BINARY={PROGRAM}"))
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    let root = destination.join("opt/tools");
    assert_eq!(said, format!("installed below {}\n", root.display()));

    let program = root.join("bin/hook-runner");
    let printed = |words: &[&str]| Command::new(&program).args(words).output().unwrap().stdout;
    assert_eq!(printed(&["--version"]), Command::new(PROGRAM).arg("--version").output().unwrap().stdout);
    let is = |path: &str, words: &[&str]| {
        let content = std::fs::read(root.join("share").join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(!content.is_empty() && content == printed(words), "{path}");
    };
    is("bash-completion/completions/hook-runner", &["completions", "bash"]);
    is("zsh/site-functions/_hook-runner", &["completions", "zsh"]);
    is("fish/vendor_completions.d/hook-runner.fish", &["completions", "fish"]);
    is("man/man1/hook-runner.1", &["man"]);
    for command in
        ["run", "copy", "sidecar", "logs", "history", "report", "diff", "verify", "check", "install"]
    {
        is(&format!("man/man1/hook-runner-{command}.1"), &["man", command]);
    }
    assert!(!Path::new("/opt/tools").exists(), "DESTDIR stands before it all");
}
