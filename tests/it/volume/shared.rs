//! Whoever else uses the volume: another user of its group, and what somebody put in the place of the runner's files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::histories::{printed, run};
use crate::support::harness::{PROGRAM, Test, eventually};

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn state_and_log_are_open_to_the_group_whatever_the_umask_is() {
    let directory = Test::new().into_directory();
    for number in 0..2 {
        let script = format!("umask 077; exec {PROGRAM} run --run-id r{number} --log d/log -- true");
        let output = Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let at = |path: &str| directory.path().join("d").join(path);
    for path in [".hook-runner", ".hook-runner/histories", ".hook-runner/histories/log"] {
        assert_eq!(mode(at(path)), 0o2770, "{path}");
    }
    let index = ".hook-runner/histories/log/index.jsonl";
    for path in ["log", ".hook-runner/lock", ".hook-runner/running", ".hook-runner/runner.log", index] {
        assert_eq!(mode(at(path)), 0o660, "{path}");
    }
    assert_eq!(mode(at(".hook-runner/histories/log/r0.log")), 0o660);
}

/// One fsGroup, two users: what a chart's hook and its application are.
#[test]
fn another_user_of_the_group_can_run_and_read() {
    crate::needs!(OtherUsers, Program("setpriv"));
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = directory.path().join("hook-runner");
    // By another process: a child of another test may hold what is written here open, and it could not be executed.
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    let volume = directory.path().join("v");
    std::fs::create_dir(&volume).unwrap();
    std::os::unix::fs::chown(&volume, Some(0), Some(2000)).unwrap();
    std::fs::set_permissions(&volume, PermissionsExt::from_mode(0o2775)).unwrap();
    let as_user = |user: u32, arguments: &[&str]| {
        let output = Command::new("setpriv")
            .args(["--reuid", &user.to_string(), "--regid", &user.to_string(), "--groups", "2000"])
            .arg(&program)
            .args(arguments)
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{user} {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    as_user(1001, &["run", "--run-id", "a", "--log", "v/log", "--", "echo", "one"]);
    as_user(1002, &["run", "--run-id", "b", "--log", "v/log", "--", "echo", "two"]);
    as_user(1001, &["run", "--run-id", "a", "--log", "v/log", "--", "echo", "three"]);
    assert_eq!(as_user(1002, &["logs", "--run", "a", "--raw", "v/log"]), "one\nthree\n");
}

/// Each file of the state directory as a pipe, a directory, and a link: a start never hangs, and what ends it is one
/// sentence of ours.
#[test]
fn what_stands_in_the_place_of_a_state_file_ends_in_a_sentence_or_is_put_aside() {
    const FILES: [&str; 8] = [
        "lock",
        "running",
        "runner.log",
        "tail-log.0",
        "histories",
        "histories/log",
        "histories/log/index.jsonl",
        "histories/log/r1.log",
    ];
    for file in FILES {
        for kind in ["pipe", "directory", "link", "file"] {
            let done = Test::new().args(["--version"]).any_stdout().run();
            let path = done.path("d/.hook-runner").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match kind {
                "pipe" => drop(Command::new("mkfifo").arg(&path).status().unwrap()),
                "directory" => std::fs::create_dir(&path).unwrap(),
                "link" => std::os::unix::fs::symlink("/dev/full", &path).unwrap(),
                _ => std::fs::write(&path, "x").unwrap(),
            }
            let test = done.then().args(["run", "--run-id", "r1", "--log", "d/log", "--", "true"]);
            let mut child = test.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let status = eventually(&format!("the end of a start with {file} as a {kind}"), || {
                child.try_wait().unwrap()
            });
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            match status.code() {
                Some(0) => {
                    let (_, all) = printed(
                        Test::within(test.into_directory()).args(["--version"]).any_stdout().run(),
                        &["history", "d/log"],
                    );
                    assert!(all.contains("succeeded"), "{file} as a {kind}: {all}");
                }
                Some(74 | 78) => {
                    assert!(
                        said.lines().count() == 1 && said.contains(".hook-runner"),
                        "{file} as a {kind}: {said}"
                    );
                }
                status => panic!("{file} as a {kind}: {status:?}: {said}"),
            }
        }
    }
}

/// While a run is at work, questions never keep another from its turn, and never say that it was interrupted.
#[test]
fn readers_disturb_nobody_and_see_a_run_at_work() {
    let done = run(Test::new(), "r0", "log", "true", 0);
    let test = done.then().args([
        "run",
        "--run-id",
        "r1",
        "--log",
        "log",
        "--",
        "sh",
        "-c",
        "until [ -e go ]; do sleep 0.02; done",
    ]);
    let directory = test.command().get_current_dir().expect("set").to_path_buf();
    let mut hook = test.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let history = || Command::new(PROGRAM).args(["history", "log"]).current_dir(&directory).output().unwrap();
    let rows = || String::from_utf8(history().stdout).unwrap();
    eventually("the run has begun", || rows().contains("r1").then_some(()));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            Command::new(PROGRAM)
                .args(["history", "log"])
                .current_dir(&directory)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for reader in readers {
        let shown = String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap();
        assert!(shown.contains("running") && !shown.contains("interrupted"), "{shown}");
    }
    std::fs::write(directory.join("go"), "").unwrap();
    assert!(hook.wait().unwrap().success());
    assert!(!rows().contains("running"), "{}", rows());
}
