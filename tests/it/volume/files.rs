//! The files on the volume: who may work on it when, what is kept, what is never written there.

use std::process::Stdio;

use faultfs::Fault;
use nix::libc;

use crate::needs;
use crate::support::faulty::Room;
use crate::support::harness::{Done, Test, eventually};
use crate::support::running::Running;

/// A pod that starts while a hook is at work must get its content: the hook may be waiting for that very pod.
#[test]
fn copy_gets_through_while_a_run_holds_the_volume_and_leaves_what_the_run_edited() {
    let script =
        "#!/bin/sh\nsed -i 's/vs/or/' data/page\ntouch edited\nuntil [ -e go ]; do sleep 0.05; done\n";
    let test = Test::new().file("app/page", "Cats vs Dogs\n").script("hook.sh", script).args([
        "run",
        "--copy",
        "app:data",
        "--",
        "./hook.sh",
    ]);
    let directory = test.command().get_current_dir().expect("set").to_path_buf();
    let mut hook = test.command().stderr(Stdio::null()).spawn().unwrap();
    eventually("the hook has edited", || directory.join("edited").exists().then_some(()));
    let copy = Test::new().args(["copy"]).args([directory.join("app"), directory.join("data")]);
    copy.stdout_contains("0 files").run();
    let page = std::fs::read_to_string(directory.join("data/page")).unwrap();
    assert_eq!(page, "Cats or Dogs\n", "the run's edit was taken for a change to undo");
    std::fs::write(directory.join("go"), "").unwrap();
    assert!(hook.wait().unwrap().success());
    drop(test);
}

#[test]
fn the_run_that_a_copy_waits_for_is_named_as_the_history_names_it() {
    let test = Test::new().file("app/page", "1").args(["run", "--log", "log", "--copy", "app:data", "--"]);
    let test = test.args(["sh", "-c", "echo up; sleep 60"]);
    let running = Running::start(test.command(), test.into_directory());
    running.wait_for("out", "up\n");
    let log = running.read("log");
    let run = log.split_once(" of run ").expect("a header").1.split([' ', ')']).next().expect("a run");
    let at = |name: &str| running.path(name).display().to_string();
    Test::new()
        .args(["run", "--log", "log", "--lock-timeout", "0s", "--copy"])
        .args([format!("{}:{}", at("app"), at("data")), "--".into(), "true".into()])
        .status(75)
        .stderr_contains(format!(
            "another run holds the volume ({}): run {run} (process",
            at("data/.hook-runner")
        ))
        .run();
}

#[test]
fn logs_of_earlier_runs_are_kept_up_to_the_limit() {
    let mut done = Test::new().run_named("a", &[]);
    for run in ["b", "c", "d"] {
        done = done.then().run_named(run, &["--keep", "2"]);
    }
    let runs = |name: &str| done.path("data/.hook-runner/histories/post-hook-output.txt").join(name).exists();
    assert!(!runs("a.log") && runs("b.log") && runs("c.log"));
}

#[test]
fn the_state_directory_can_be_elsewhere() {
    let done = Test::new().run_named("a", &["--state", "{}/elsewhere"]);
    assert!(!done.path("data/.hook-runner").exists());
    let done = done.then().run_named("b", &["--state", "{}/elsewhere"]);
    assert!(archived(&done, "a.log").is_some());
    done.then().args(["history", "data", "--state", "{}/elsewhere"]).stdout_contains("succeeded").run();
}

#[test]
fn logs_are_archived_and_brought_back_across_mounts() {
    crate::needs!(Mount);
    let directory = Test::new().into_directory();
    let mount = crate::support::volumes::Mount::tmpfs(&directory.path().join("elsewhere"), "size=4m");
    let done = Test::within(directory).run_named("a", &["--state", "{}/elsewhere"]);
    let first = done.log();
    let done = done.then().run_named("b", &["--state", "{}/elsewhere"]);
    assert_eq!(archived(&done, "a.log").as_ref(), Some(&first));
    let done = done.then().run_named("a", &["--state", "{}/elsewhere"]);
    assert!(done.log().starts_with(&first) && done.log().contains("attempt 2 of run a"), "{}", done.log());
    assert!(archived(&done, "b.log").is_some() && archived(&done, "a.log").is_none());
    // Before its directory.
    drop(mount);
}

/// An archived log in a state directory that was given, whichever history it is in.
fn archived(done: &Done, name: &str) -> Option<String> {
    let histories = std::fs::read_dir(done.path("elsewhere/histories")).expect("histories");
    histories.flatten().find_map(|history| std::fs::read_to_string(history.path().join(name)).ok())
}

#[test]
fn a_run_without_a_log_writes_nothing() {
    let done =
        Test::new().args(["run", "--log", "none", "--", "echo", "hi"]).stdout("hi\n").any_stderr().run();
    assert_eq!(std::fs::read_dir(done.path("")).unwrap().count(), 0);
}

#[test]
fn log_and_state_have_the_modes_that_are_promised() {
    use std::os::unix::fs::PermissionsExt;
    let done = Test::new().run_named("a", &["--log-mode", "0600"]);
    let mode = |path: &str| std::fs::metadata(done.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("data/post-hook-output.txt"), mode("data/.hook-runner")), (0o600, 0o2770));
}

#[test]
fn a_secret_is_in_no_file_and_on_no_stream() {
    let secret = "hunter2-hunter2";
    let test = Test::new()
        .env("DB_PASSWORD", secret)
        .args(["run", "--redact-env", "DB_PASSWORD", "--termination-log", "{}/message"])
        .args([
            "--log",
            "{}/data/log",
            "--",
            "sh",
            "-c",
            "echo $DB_PASSWORD; echo hunter2-hunter2 >&2; exit 3",
            secret,
        ]);
    let done = test.status(3).stdout("***\n***\n").any_stderr().run();
    assert!(!done.stderr.contains(secret), "{}", done.stderr);
    for file in
        ["data/log", "data/.hook-runner/histories/log/index.jsonl", "data/.hook-runner/runner.log", "message"]
    {
        assert!(!done.read(file).contains(secret), "{file}: {}", done.read(file));
    }
}

/// The runner's own words hold what it was given: conditions, names of files, what the system says about them.
#[test]
fn a_secret_in_a_condition_or_a_name_is_in_no_file_and_on_no_stream() {
    let secret = "hunter2-hunter2";
    // A conflict is told by name.
    let test = Test::new().file(&format!("app/{secret}"), "image").file(&format!("data/{secret}"), "mine");
    let test = test.env("DB_PASSWORD", secret).args(["run", "--redact-env", "DB_PASSWORD"]);
    let test = test.args(["--termination-log", "message", "--log", "data/log", "--copy", "app:data"]);
    let test = test.args(["--policy", "keep-modified", "--wait-timeout", "1s"]);
    let test = test.args(["--wait-for", &format!("http://127.0.0.1:1/?token={secret}")]);
    let done = test.status(69).stderr_contains("http://127.0.0.1:1/?token=*** was not met").run();
    assert!(!done.stderr.contains(secret), "{}", done.stderr);
    for (file, expected) in [
        ("data/log", "note       *** was changed by the user"),
        ("data/.hook-runner/histories/log/index.jsonl", "token=***"),
        ("data/.hook-runner/runner.log", "condition=http://127.0.0.1:1/?token=***"),
        ("message", "token=***"),
    ] {
        let content = done.read(file);
        assert!(content.contains(expected) && !content.contains(secret), "{file}: {content}");
    }
}

#[test]
fn logs_follow_prints_until_the_attempt_ends() {
    let test = Test::new().args(["run", "--log", "data/post-hook-output.txt", "--"]);
    let test = test.args(["sh", "-c", "echo first; until [ -e go ]; do sleep 0.05; done; echo last"]);
    let directory = test.command().get_current_dir().expect("set").to_path_buf();
    let mut hook = test.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let log = directory.join("data/post-hook-output.txt");
    let begun = || std::fs::read_to_string(&log).ok().filter(|text| text.contains("\nfirst\n"));
    eventually("the command has begun", begun);
    let follow = Test::new().args(["logs", "--follow"]).args([&log]);
    let follow = follow.command().stdout(Stdio::piped()).spawn().unwrap();
    std::fs::write(directory.join("go"), "").unwrap();
    assert!(hook.wait().unwrap().success());
    let printed = String::from_utf8(follow.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(printed, std::fs::read_to_string(&log).unwrap());
}

#[test]
fn each_share_of_a_copy_has_a_log_of_its_own() {
    let mut test = Test::new();
    for number in 0..50 {
        test = test.file(&format!("app/d{}/f{number}", number % 7), format!("{number}\n"));
    }
    let shares: Vec<_> = (0..3)
        .map(|index: u32| {
            let mut command = Test::new()
                .env("JOB_COMPLETION_INDEX", &index.to_string())
                .env("HOOK_RUNNER_COMPLETIONS", "3")
                .args(["run", "--run-id", "job", "--copy", "app:data", "--shard", "auto"])
                .command();
            command.current_dir(test.command().get_current_dir().expect("set"));
            command.stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for share in shares {
        let output = share.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let done = test.args(["verify", "data"]).any_stdout().run();
    for number in 0..50 {
        assert_eq!(done.read(&format!("data/d{}/f{number}", number % 7)), format!("{number}\n"));
    }
    let logs: Vec<_> = std::fs::read_dir(done.path("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("post-hook-output.txt.shard-"))
        .collect();
    assert_eq!(logs.len(), 3, "{logs:?}");
}

impl Test {
    /// `run --run-id RUN` of a command that succeeds.
    #[track_caller]
    fn run_named(self, run: &str, options: &[&str]) -> crate::support::harness::Done {
        self.args(["run", "--run-id", run, "--log", "{}/data/post-hook-output.txt"])
            .args(options)
            .args(["--", "true"])
            .any_stderr()
            .run()
    }
}

/// Only what is not there is gone: a volume that fails says nothing of what was on it.
#[test]
fn a_history_that_cannot_be_opened_at_the_end_is_not_said_to_be_gone() {
    needs!(Fuse);
    for errno in [libc::ENXIO, libc::EIO, libc::ELOOP, libc::EISDIR] {
        let mut room = Room::new();
        let mut running = room.start(&[], "echo before; while ! [ -e go ]; do sleep 0.02; done");
        running.wait_for("out", "before\n");
        room.mount.set("opendir", Fault::Errno(errno).on_path("histories").times(1));
        std::fs::write(running.path("go"), "").expect("a file");
        let status = running.end();
        let err = running.read("err");
        assert!(status == 0 && !err.contains("gone"), "{errno}: {status} {err}");
        assert!(err.contains("the index has no end for this attempt: cannot open"), "{errno}: {err}");
    }
}
