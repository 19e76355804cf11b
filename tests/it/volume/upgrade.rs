//! A volume that version 0.1 wrote (tests/fixtures/volume-0.1: two logs, a failed and a retried run, one that was killed).

use std::path::Path;

use super::histories::{printed, run};
use crate::support::harness::{Done, Test};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn volume() -> Test {
    let test = Test::new();
    let directory = test.into_directory();
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/volume-0.1"),
        &directory.path().join("v"),
    );
    Test::within(directory)
}

/// As version 0.1's own `history` showed them.
const ATTEMPTS: [(&str, &str, u64, &str); 6] = [
    ("post-hook-output.txt", "one", 1, "command"),
    ("post-hook-output.txt", "one", 2, "succeeded"),
    ("post-hook-output.txt", "killed", 1, "interrupted"),
    ("post-hook-output.txt", "two", 1, "succeeded"),
    ("other.txt", "beside", 1, "command"),
    ("post-hook-output.txt", "three", 1, "succeeded"),
];

#[track_caller]
fn assert_attempts(done: Done, further: &[(&str, &str, u64, &str)]) -> Done {
    let (done, json) = printed(done, &["history", "--json", "v"]);
    let found: Vec<_> = json
        .lines()
        .rev()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (text("log"), text("run"), row["attempt"].as_u64().unwrap(), text("result"))
        })
        .collect();
    let expected: Vec<_> = ATTEMPTS
        .iter()
        .chain(further)
        .map(|(log, run, attempt, result)| {
            ((*log).to_owned(), (*run).to_owned(), *attempt, (*result).to_owned())
        })
        .collect();
    assert_eq!(found, expected);
    done
}

#[track_caller]
fn assert_output(done: Done, run: &str, expected: &[u8]) -> Done {
    let test = done.then().args(["logs", "--raw", "--run", run, "v"]);
    let output = test.command().output().unwrap();
    assert_eq!(output.stdout, expected, "{run}: {output:?}");
    Test::within(test.into_directory()).args(["--version"]).any_stdout().run()
}

#[test]
fn what_version_0_1_wrote_is_read_and_goes_on() {
    let mut done = volume().args(["--version"]).any_stdout().run();
    let outputs: [(&str, &[u8]); 4] = [
        ("one", b"migrating\n=== end of attempt ===\nmigrated\n"),
        ("two", b"no newline\n"),
        ("beside", b"other\n"),
        ("three", b"\xff\n"),
    ];
    done = assert_attempts(done, &[]);
    for (run, expected) in outputs {
        done = assert_output(done, run, expected);
    }
    done = run(done.then(), "four", "v/post-hook-output.txt", "echo four", 0);
    let four = ("post-hook-output.txt", "four", 1, "succeeded");
    done = assert_attempts(done, &[four]);
    done = run(done.then(), "one", "v/post-hook-output.txt", "echo again", 0);
    done = run(done.then(), "five", "v/other.txt", "echo five", 0);
    let further =
        [four, ("post-hook-output.txt", "one", 3, "succeeded"), ("other.txt", "five", 1, "succeeded")];
    done = assert_attempts(done, &further);
    done = assert_output(done, "one", b"migrating\n=== end of attempt ===\nmigrated\nagain\n");
    for (run, expected) in &outputs[1..] {
        done = assert_output(done, run, expected);
    }
    assert!(!done.path("v/.hook-runner/index.jsonl").exists() && !done.path("v/.hook-runner/runs").exists());
}
