//! What a hook file may say beside its steps: steps for a failure and for every end, names, variables and directories of
//! commands, a command that is waited for, metrics.

use std::process::Command;

use nix::libc;

use crate::needs;
use crate::support::harness::{Test, eventually};
use crate::support::running::Running;

fn hook(file: &str) -> Test {
    Test::new()
        .file("hook.yaml", format!("log: data/log\n{file}"))
        .args(["run", "--hook", "hook.yaml"])
        .any_stdout()
}

#[test]
fn steps_for_a_failure_run_only_then_and_final_steps_always_and_the_first_failure_is_the_status() {
    let file = |status: u8| {
        format!(
            "steps:\n- exec: {{command: [sh, -c, 'echo working; exit {status}']}}\n- exec: {{command: [echo, never after a failure]}}\n\
             on-failure:\n- exec: {{command: [echo, restoring]}}\n- exec: {{command: [sh, -c, 'exit 9']}}\n\
             finally:\n- exec: {{command: [echo, cleaning]}}\n"
        )
    };
    let failed = hook(&file(3)).status(3).stderr_contains("failed with status 3").run();
    let log = failed.read("data/log");
    assert!(log.contains("\nrestoring\n") && log.contains("\ncleaning\n"), "{log}");
    assert!(!log.contains("\nnever after a failure\n"), "{log}");
    assert!(log.contains("sh exited with 9"), "what failed later is told: {log}");
    let succeeded = hook(&file(0)).any_stderr().run();
    let log = succeeded.read("data/log");
    assert!(!log.contains("\nrestoring\n") && log.contains("\ncleaning\n"), "{log}");
}

#[test]
fn an_attempt_that_is_stopped_or_whose_time_is_over_says_that_no_further_step_is_begun() {
    let file = "steps:\n- exec: {command: [sh, -c, 'touch runs; exec sleep 600']}\n\
                on-failure:\n- exec: {command: [touch, restored]}\nfinally:\n- exec: {command: [touch, cleaned]}\n";
    let over = hook(file).args(["--timeout", "2s"]).status(124).any_stderr().run();
    let test = hook(file);
    let mut stopped = Running::start(test.command(), test.into_directory());
    eventually("the command runs", || stopped.path("runs").exists().then_some(()));
    stopped.signal(libc::SIGTERM);
    assert_eq!(stopped.end(), 143);
    let logs = [
        (over.read("data/log"), "the attempt's time is over"),
        (stopped.read("data/log"), "the attempt is stopped"),
    ];
    for (log, why) in logs {
        assert!(log.contains(&format!("\nhook-runner: no step on failure was begun: {why}\n")), "{log}");
        assert!(log.contains(&format!("\nhook-runner: no final step was begun: {why}\n")), "{log}");
    }
    for name in ["restored", "cleaned"] {
        assert!(!over.path(name).exists() && !stopped.path(name).exists(), "{name}");
    }
}

#[test]
fn each_step_for_a_failure_and_each_final_step_runs_whatever_the_one_before_it_did() {
    let file = "steps:\n- exec: {command: [sh, -c, 'exit 3']}\n\
                on-failure:\n- exec: {command: [sh, -c, 'exit 6']}\n- exec: {command: [echo, restored]}\n\
                finally:\n- exec: {command: [sh, -c, 'exit 9']}\n- exec: {command: [echo, cleaned]}\n";
    let log = hook(file).status(3).any_stderr().run().read("data/log");
    assert!(log.contains("\nrestored\n") && log.contains("\ncleaned\n"), "{log}");
    // What is not begun in the middle of a list is said, too.
    let file = "steps:\n- exec: {command: ['true']}\n\
                finally:\n- exec: {command: [sleep, '600']}\n- exec: {command: [touch, cleaned]}\n";
    let over = hook(file).args(["--timeout", "2s"]).status(124).any_stderr().run();
    assert!(!over.path("cleaned").exists());
    let said = "\nhook-runner: no final step after number 1 of 2 was begun: the attempt's time is over\n";
    assert!(over.read("data/log").contains(said), "{}", over.read("data/log"));
}

#[test]
fn a_final_step_that_fails_fails_a_hook_that_had_succeeded() {
    let file = "steps:\n- exec: {command: ['true']}\nfinally:\n- exec: {command: [sh, -c, 'exit 7']}\n";
    hook(file).status(7).stderr_contains("sh exited with 7").run();
}

#[test]
fn a_command_has_its_name_its_variables_and_its_directory() {
    let file = "steps:\n- exec:\n    command: [sh, -c, 'echo $A-$B; pwd; cat here']\n    name: the migration\n    \
                env: {A: 1, B: 'two words'}\n    workdir: sub\n";
    let done = hook(file).file("sub/here", "found\n").any_stderr().run();
    let log = done.read("data/log");
    assert!(log.contains("1-two words\n") && log.contains("/sub\nfound\n"), "{log}");
    assert!(log.contains("1. the migration"), "{log}");
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let file = "steps:\n- exec: {command: ['true'], workdir: nowhere}\n";
    hook(file).status(126).stderr_contains("its workdir nowhere cannot be entered: it does not exist").run();
    // A relative program is seen from there.
    let file = "steps:\n- exec: {command: [./script], workdir: sub}\n";
    hook(file).script("sub/script", "#!/bin/sh\nexec pwd\n").stderr_contains("exited with 0").run();
}

#[test]
fn a_wait_for_a_command_ends_when_it_succeeds() {
    let file = "steps:\n- wait: {for: [sh, -c, 'echo x >>tries; test $(wc -l <tries) -ge 3']}\n";
    let done = hook(file).stderr_contains("met: sh exited with 0").run();
    assert_eq!(done.read("tries").lines().count(), 3);
    assert!(!done.read("data/log").contains("\nx\n"), "its output is nobody's");
    Test::new()
        .args(["run", "--log", "none", "--wait-for", "exec:test -e nothing", "--wait-timeout", "1s"])
        .status(69)
        .stderr_contains("test did not succeed within 1s: it exited with 1")
        .run();
    Test::new()
        .args(["run", "--log", "none", "--wait-for", "exec:no-such-command"])
        .status(127)
        .stderr_contains("no-such-command")
        .run();
}

#[test]
fn a_wait_for_a_command_has_all_of_its_time() {
    let begin = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let file = "steps:\n- wait: {for: [sh, -c, 'date +%s%N >>tries; false'], timeout: 3s}\n";
    let done = hook(file).status(69).stderr_contains("did not succeed within 3s: it exited with 1").run();
    let last: u128 = done.read("tries").lines().last().expect("a try").parse().expect("nanoseconds");
    assert!(
        last >= begin.as_nanos() + 3_000_000_000,
        "the last try was {} ms early",
        (begin.as_nanos() + 3_000_000_000 - last) / 1_000_000
    );
}

#[test]
fn metrics_are_lines_that_prometheus_reads() {
    let file =
        "metrics-file: hook.prom\nsteps:\n- exec: {command: [sh, -c, 'exit 3'], name: 'a \"quoted\" name'}\n";
    let done = hook(file).env("HOOK_RUNNER_RELEASE", "vote").status(3).any_stderr().run();
    let text = done.read("hook.prom");
    let mut described = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            assert!(["HELP", "TYPE"].contains(&words.next().unwrap_or_default()), "{line}");
            described.push(words.next().unwrap_or_default().to_owned());
            continue;
        }
        let (metric, value) = line.rsplit_once(' ').expect("a value");
        let name = metric.split('{').next().unwrap_or_default();
        assert!(described.iter().any(|known| known == name), "{name} is described before");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(metric.contains("{release=\"vote\"") && metric.ends_with('}'), "{line}");
    }
    assert!(text.contains("hook_runner_last_attempt_success{release=\"vote\"} 0\n"), "{text}");
    assert!(text.contains("hook_runner_last_attempt_exit_status{release=\"vote\"} 3\n"), "{text}");
    assert!(text.contains("step=\"1\",name=\"a \\\"quoted\\\" name\"} "), "{text}");
    assert!(text.ends_with('\n'));
}

/// promtool reads the text as Prometheus does, and knows the conventions for names and units.
#[test]
fn promtool_finds_nothing_to_complain_of_in_the_metrics() {
    needs!(Program("promtool"));
    let file = "metrics-file: hook.prom\nsteps:\n- exec: {command: ['true'], name: 'a \"b\" \\ c'}\n";
    let done = hook(file).env("HOOK_RUNNER_RELEASE", "vo\"te\\").any_stderr().run();
    let metrics = std::fs::File::open(done.path("hook.prom")).expect("the metrics");
    let checked =
        Command::new("promtool").args(["check", "metrics"]).stdin(metrics).output().expect("promtool");
    let said = String::from_utf8_lossy(&checked.stderr) + String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.is_empty(), "{said}");
}
