//! `logs -f`: what is being written, through whatever becomes of the log meanwhile.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::harness::{PROGRAM, Test, eventually, with_default_actions};

/// A volume, and what follows on it.
struct Volume {
    directory: tempfile::TempDir,
}

impl Volume {
    fn new() -> Self {
        let directory = Test::new().into_directory();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        Self { directory }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = with_default_actions(PROGRAM);
        command.args(arguments).current_dir(self.directory.path());
        command
    }

    /// `logs` with its output in the file `out`, its words in `err`.
    fn follow(&self, arguments: &[&str]) -> Child {
        let file = |name: &str| std::fs::File::create(self.at(name)).unwrap();
        let mut command = self.command(&["logs", "-f"]);
        command.args(arguments).stdout(file("out")).stderr(file("err")).spawn().unwrap()
    }

    fn run(&self, run: &str, script: &str) -> Child {
        let mut command = self.command(&["run", "--run-id", run, "--log", "d/log", "--", "sh", "-c", script]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn shows(&self, file: &str, text: &str) {
        let read = |file: &str| std::fs::read_to_string(self.at(file)).unwrap_or_default();
        let end = Instant::now() + Duration::from_secs(60);
        while !read(file).contains(text) {
            assert!(Instant::now() < end, "not within a minute: {text:?} in {file}; said: {}", read("err"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn ends(mut child: Child) -> Option<i32> {
    eventually("the end", || child.try_wait().unwrap()).code()
}

fn touch(path: &Path) {
    std::fs::write(path, "").unwrap();
}

#[test]
fn it_waits_for_a_first_run_and_ends_as_the_run_ends() {
    let volume = Volume::new();
    let follow = volume.follow(&["d/log", "--exit-status"]);
    volume.shows("err", "waiting for the first run in d/log");
    let run = volume.run("r1", "echo one; until [ -e go ]; do sleep 0.02; done; echo two; exit 3");
    volume.shows("out", "one\n");
    touch(&volume.at("go"));
    assert_eq!(ends(run), Some(3));
    assert_eq!(ends(follow), Some(3));
    assert_eq!(std::fs::read(volume.at("out")).unwrap(), std::fs::read(volume.at("d/log")).unwrap());
}

/// The log is archived, and brought back, while it is printed.
#[test]
fn it_goes_on_when_the_log_is_archived_and_with_the_next_attempt() {
    let volume = Volume::new();
    assert_eq!(ends(volume.run("r1", "echo one; exit 3")), Some(3));
    let follow = volume.follow(&["d/log", "--raw", "--forever"]);
    volume.shows("out", "one\n");
    assert_eq!(ends(volume.run("r2", "echo two")), Some(0));
    volume.shows("out", "two\n");
    assert_eq!(ends(volume.run("r2", "echo three")), Some(0));
    volume.shows("out", "one\ntwo\nthree\n");
    let pid = rustix::process::Pid::from_raw(i32::try_from(follow.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(ends(follow), None);
}

#[test]
fn it_follows_the_run_that_was_asked_for() {
    let volume = Volume::new();
    for run in ["r1", "r2"] {
        assert_eq!(ends(volume.run(run, &format!("echo from-{run}"))), Some(0));
    }
    assert_eq!(ends(volume.follow(&["d/log", "--raw", "--run", "r1"])), Some(0));
    assert_eq!(std::fs::read_to_string(volume.at("out")).unwrap(), "from-r1\n");
    assert_eq!(ends(volume.follow(&["d/log", "--attempt", "9"])), Some(78));
    assert_eq!(ends(volume.follow(&["nowhere/log"])), Some(78));
}

/// Kills its runner once that has preserved what it printed.
const KILLED: &str =
    "echo half; until tail -n 1 d/log | grep -qx half; do sleep 0.02; done; kill -KILL $PPID";

#[test]
fn it_says_that_an_attempt_was_interrupted() {
    let volume = Volume::new();
    assert_eq!(ends(volume.run("r1", KILLED)), None);
    assert_eq!(ends(volume.follow(&["d/log", "--exit-status"])), Some(137));
    volume.shows("err", "attempt 1 of run r1 was interrupted");
    volume.shows("out", "half\n");
}

#[test]
fn a_log_that_the_hook_removes_at_work_is_followed_to_the_end() {
    for damage in ["rm d/log", "mv d/log d/gone", "rm d/log; echo mine >d/log"] {
        let volume = Volume::new();
        let script = format!("echo one; until [ -e go ]; do sleep 0.02; done; {damage}; sleep 0.7; echo two");
        let run = volume.run("r1", &script);
        volume.shows("d/log", "one\n");
        let follow = volume.follow(&["d/log", "--exit-status", "--raw"]);
        volume.shows("out", "one\n");
        touch(&volume.at("go"));
        assert_eq!(ends(run), Some(0), "{damage}");
        assert_eq!(ends(follow), Some(0), "{damage}: {}", std::fs::read_to_string(volume.at("err")).unwrap());
        let shown = std::fs::read_to_string(volume.at("out")).unwrap();
        assert!(shown.contains("one\n") && shown.contains("two\n"), "{damage}: {shown}");
    }
}

/// As a run has it between making its log and writing the first line.
#[test]
fn an_empty_log_is_waited_for() {
    for with_state in [false, true] {
        let volume = Volume::new();
        if with_state {
            assert_eq!(ends(volume.run("r0", "echo zero")), Some(0));
            std::fs::remove_dir_all(volume.at("d/.hook-runner/histories")).unwrap();
        }
        touch(&volume.at("d/log"));
        let follow = volume.follow(&["d/log", "--exit-status", "--raw"]);
        volume.shows("err", "waiting for the first run in d/log");
        assert_eq!(ends(volume.run("r1", "echo one")), Some(0));
        assert_eq!(ends(follow), Some(0));
        volume.shows("out", "one\n");
    }
}

#[test]
fn of_a_run_that_has_ended_raw_is_the_commands_bytes_alone_as_without_follow() {
    let volume = Volume::new();
    std::fs::create_dir(volume.at("image")).unwrap();
    std::fs::write(volume.at("image/a"), "a").unwrap();
    let mut run = volume.command(&["run", "--copy", "image:d/to", "--log", "d/log", "--", "echo", "one"]);
    assert!(run.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    assert_eq!(ends(volume.follow(&["d/log", "--raw"])), Some(0));
    assert_eq!(std::fs::read_to_string(volume.at("out")).unwrap(), "one\n");
}

/// README, podFailurePolicy: 78, 126 and 127 fail the Job at once, so no next attempt comes.
#[test]
fn it_does_not_wait_after_a_status_that_fails_the_job_at_once() {
    for status in [126, 127] {
        let volume = Volume::new();
        let script = format!("exit {status}");
        let mut run = volume.command(&["run", "--run-id", "r1", "--log", "d/log", "--", "sh", "-c", &script]);
        let run =
            run.env("HOOK_RUNNER_JOB", "j").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(ends(run), Some(status));
        assert_eq!(ends(volume.follow(&["d/log", "--exit-status"])), Some(status));
        assert_eq!(std::fs::read_to_string(volume.at("err")).unwrap(), "", "nothing is waited for");
    }
}

/// Standard input was read to its end, so that nothing more can come from it.
#[test]
fn a_log_from_standard_input_is_not_waited_for() {
    let volume = Volume::new();
    let mut run =
        volume.command(&["run", "--run-id", "r1", "--log", "d/log", "--", "sh", "-c", "echo one; exit 3"]);
    let run = run.env("HOOK_RUNNER_JOB", "j").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(ends(run), Some(3));
    let mut follow = volume.command(&["logs", "-f", "-", "--exit-status", "--raw"]);
    let out = std::fs::File::create(volume.at("out")).unwrap();
    let mut cat = Command::new("cat").arg(volume.at("d/log")).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(ends(follow.stdin(cat.stdout.take().unwrap()).stdout(out).spawn().unwrap()), Some(3));
    assert!(cat.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(volume.at("out")).unwrap(), "one\n");
}

/// A Job's delay before its next attempt is known; the log's mtime says how much of it is over.
#[test]
fn it_says_when_no_next_attempt_has_begun_in_the_jobs_time() {
    let volume = Volume::new();
    let mut run = volume.command(&["run", "--run-id", "r1", "--log", "d/log", "--", "sh", "-c", "exit 3"]);
    let run = run.env("HOOK_RUNNER_JOB", "j").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(ends(run), Some(3));
    let follow = volume.follow(&["d/log", "--exit-status"]);
    volume.shows("err", "waiting up to 40s for the Job's next attempt");
    let hour = std::time::SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options().append(true).open(volume.at("d/log")).unwrap().set_modified(hour).unwrap();
    assert_eq!(ends(follow), Some(3));
    volume.shows("err", "no next attempt has begun");
    volume.shows("err", "backoffLimit");
}
