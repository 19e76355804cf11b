//! What runs have preserved on a volume, whatever a copy's source has under the same names and whatever it is to remove.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::cases::one_in;
use crate::support::harness::PROGRAM;

/// Where a log and its state are, below the directory of a test; the destination of the copies is `d`.
const PLACES: [(&str, Option<&str>); 7] = [
    ("d/logs/l", None),
    ("d/l", None),
    ("d/two words%", None),
    ("d/l", Some("st")),
    ("d/logs/l", Some("d/kept/state")),
    ("d/post-hook-output.txt", Some("d/state")),
    ("elsewhere/l", Some("d/state")),
];

fn program(at: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(at).output().unwrap()
}

/// Two runs of the log: the first is archived when the second begins.
fn preserve(at: &Path, log: &str, state: Option<&str>) {
    for run in ["one", "two"] {
        let mut arguments = vec!["run", "--run-id", run, "--log", log];
        arguments.extend(state.iter().flat_map(|state| ["--state", state]));
        arguments.extend(["--", "echo", run]);
        let output = program(at, &arguments);
        assert!(output.status.success(), "{output:?}");
    }
}

#[track_caller]
fn assert_preserved(at: &Path, log: &str, state: Option<&str>, when: &str) {
    for run in ["one", "two"] {
        let mut arguments = vec!["logs", "--raw", "--run", run];
        arguments.extend(state.iter().flat_map(|state| ["--state", state]));
        arguments.push(log);
        let output = program(at, &arguments);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(shown.lines().any(|line| line == run), "{when}: run {run} of {log}: {output:?}");
    }
}

#[test]
fn no_copy_replaces_moves_or_removes_a_preserved_log_or_a_state_directory() {
    for (log, state) in PLACES {
        // What the image has in their place: nothing, or a file or a directory at each name on the way.
        let mut images = vec![("", "")];
        for place in [Some(log), state].into_iter().flatten() {
            let Some(below) = place.strip_prefix("d/") else { continue };
            let names = Path::new(below).ancestors().filter(|name| !name.as_os_str().is_empty());
            images.extend(
                names.flat_map(|name| [(name.to_str().unwrap(), ""), (name.to_str().unwrap(), "page")]),
            );
        }
        for (name, below) in images.into_iter().step_by(one_in(3)) {
            // Each option in the first place.
            let all =
                [["replace", "all"], ["replace", "owned"], ["keep-modified", "all"], ["missing", "all"]];
            for [policy, prune] in all.into_iter().take(if log == PLACES[0].0 { 4 } else { 1 }) {
                let options = ["--policy", policy, "--prune", prune];
                let temp = tempfile::tempdir().unwrap();
                let image = temp.path().join("s");
                std::fs::create_dir(&image).unwrap();
                std::fs::write(image.join("other"), "x").unwrap();
                if !name.is_empty() {
                    let path = image.join(name).join(below);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path.components().collect::<std::path::PathBuf>(), "image").unwrap();
                }
                preserve(temp.path(), log, state);
                let when = format!("{log}, state {state:?}, image {name}/{below}, {options:?}");
                for _ in 0..2 {
                    let mut arguments = vec!["copy", "s", "d"];
                    arguments.extend(options);
                    let output = program(temp.path(), &arguments);
                    assert!(output.status.success(), "{when}: {output:?}");
                    assert_preserved(temp.path(), log, state, &when);
                }
                assert_eq!(std::fs::read_to_string(temp.path().join("d/other")).unwrap(), "x", "{when}");
            }
        }
    }
}

#[test]
fn what_is_left_out_for_a_preserved_log_is_said() {
    let temp = tempfile::tempdir().unwrap();
    for (name, what) in [("l", "is a file"), ("logs", "holds files")] {
        let image = temp.path().join(format!("image-{name}"));
        std::fs::create_dir(&image).unwrap();
        std::fs::write(image.join(name), "image").unwrap();
        preserve(temp.path(), if name == "l" { "d/l" } else { "d/logs/l" }, None);
        let output = program(temp.path(), &["copy", image.to_str().unwrap(), "d"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(&format!("{name} {what} of the runner's own on the volume: not copied")),
            "{said}"
        );
    }
}

/// The same log with a run's copy, that of another log, and with a state of its own elsewhere.
#[test]
fn a_run_with_another_log_spares_what_runs_before_it_preserved() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("s")).unwrap();
    std::fs::write(temp.path().join("s/l"), "image").unwrap();
    preserve(temp.path(), "d/l", Some("d/state"));
    for log in ["d/other", "none", "elsewhere/log"] {
        let run = ["run", "--log", log, "--copy", "s:d", "--prune", "all", "--", "true"];
        let output = program(temp.path(), &run);
        assert!(output.status.success(), "{log}: {output:?}");
        assert_preserved(temp.path(), "d/l", Some("d/state"), log);
    }
}

#[test]
fn a_destination_among_the_runners_own_files_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("s")).unwrap();
    preserve(temp.path(), "d/l", None);
    preserve(temp.path(), "e/l", Some("e/state"));
    for destination in
        ["d/.hook-runner", "d/.hook-runner/histories/l", "d/.hook-runner/new", "e/state", "e/state/a/b"]
    {
        let output = program(temp.path(), &["copy", "s", destination, "--prune", "all"]);
        assert_eq!(output.status.code(), Some(78), "{destination}: {output:?}");
    }
    assert_preserved(temp.path(), "d/l", None, "a destination in the state directory");
    assert_preserved(
        temp.path(),
        "e/l",
        Some("e/state"),
        "a destination in a state directory that was given",
    );
    assert!(!temp.path().join("d/.hook-runner/new").exists());
}
