//! `when:` of a step: for which runs it is.

use crate::support::harness::{Done, Test};

const FILE: &str = "log: data/log
steps:
- exec: {command: [echo, installing], when: {event: post-install}}
- exec: {command: [echo, upgrading], when: {event: [post-upgrade, post-rollback]}}
- exec: {command: [echo, seeding], when: {first-run: true}}
- exec: {command: [sh, -c, 'exit $(cat status)'], when: {revision: '<10'}}
- copy: {from: nowhere, to: data/content, when: {event: pre-delete}}
";

fn run(test: Test, run: &str, event: &str, revision: &str, status: &str) -> (Done, Vec<String>) {
    let test = test.file("hook.yaml", FILE).file("status", status).args([
        "run",
        "--hook",
        "hook.yaml",
        "--run-id",
        run,
    ]);
    let test = test.env("HOOK_RUNNER_HOOK_EVENT", event).env("HOOK_RUNNER_REVISION", revision);
    let done = test.status(status.parse().expect("a status")).any_stdout().any_stderr().run();
    let ran = done.stdout.lines().map(str::to_owned).collect();
    (done, ran)
}

#[test]
fn a_step_runs_only_for_its_events_its_revisions_and_the_first_run() {
    let (done, ran) = run(Test::new(), "r1", "post-install", "1", "3");
    assert_eq!(ran, ["installing", "seeding"]);
    let (done, ran) = run(done.then(), "r2", "post-upgrade", "2", "0");
    assert_eq!(ran, ["upgrading", "seeding"], "no run has succeeded before");
    let (done, ran) = run(done.then(), "r3", "post-upgrade", "10", "0");
    assert_eq!(ran, ["upgrading"]);
    let log = done.read("data/log");
    assert!(
        log.contains("step 1 of 5 is left out: it is for post-install, and this is post-upgrade"),
        "{log}"
    );
    assert!(log.contains("step 3 of 5 is left out: it is for the first run, and one has succeeded"), "{log}");
    assert!(log.contains("step 4 of 5 is left out: it is for revision <10, and this is 10"), "{log}");
    assert!(!done.path("data/content").exists(), "a copy that is left out needs no source");
}

#[test]
fn a_step_of_which_it_cannot_be_told_is_refused_before_anything_is_made() {
    for (when, log, lacks) in [
        ("event: post-install", "data/log", "HOOK_RUNNER_HOOK_EVENT"),
        ("revision: 1", "data/log", "HOOK_RUNNER_REVISION"),
        ("first-run: true", "none", "needs a log"),
    ] {
        let file = format!("log: {log}\nsteps: [{{exec: {{command: ['true'], when: {{{when}}}}}}}]\n");
        let done = Test::new().file("hook.yaml", &file).args(["run", "--hook", "hook.yaml"]);
        let done = done.status(78).stderr_contains(lacks).run();
        assert!(!done.path("data").exists(), "{when}");
        // To check a file no cluster is needed.
        done.then().args(["check", "hook.yaml"]).stdout_contains("1. exec true (when ").run();
    }
}
