//! The sidecar against an API server with everything that goes wrong between the two: its core at the pace of a
//! test, and the real program.

use std::process::Stdio;
use std::time::Duration;

use hook_runner::internals::Observed;
use hook_runner::internals::{Ended, Failure, follow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::api_server::ApiServer;
use crate::support::harness::{Test, eventually};

/// Long enough that a test which reaches it has failed.
const GENEROUS: Duration = Duration::from_secs(300);
/// A second in 2026.
const T: u64 = 1_795_378_358;

async fn run(api: &ApiServer) -> (Result<Ended, Failure>, String) {
    run_beside(api, async {}).await
}

/// Follows while `script` goes on.
async fn run_beside(api: &ApiServer, script: impl Future<Output = ()>) -> (Result<Ended, Failure>, String) {
    let mut log = Vec::new();
    let (of, observed) = (api.follow(), Observed::default());
    let following = follow(&of, None, &observed, &mut log);
    let both = async { tokio::join!(following, script).0 };
    let outcome = tokio::time::timeout(GENEROUS, both).await.expect("the sidecar ends by itself");
    (outcome, String::from_utf8(log).expect("text"))
}

async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + GENEROUS;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "it never came to that");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn print_lines(api: &ApiServer, numbers: std::ops::Range<u32>) -> String {
    let mut plain = String::new();
    for number in numbers {
        let line = format!("line {number}\n");
        api.print(T + u64::from(number / 7), number % 7 * 100, &line);
        plain += &line;
    }
    plain
}

#[tokio::test]
async fn a_container_that_has_ended_is_preserved_whole_and_its_status_passed_on() {
    for code in [0, 3, 137] {
        let api = ApiServer::start();
        let plain = print_lines(&api, 0..50);
        api.exit(code);
        let (ended, log) = run(&api).await;
        let ended = ended.expect("the container's end");
        assert_eq!((log, ended.how.exit_code, ended.gaps), (plain, code, 0));
    }
}

#[tokio::test]
async fn a_container_that_runs_is_followed_to_its_last_byte() {
    let api = ApiServer::start();
    let mut plain = print_lines(&api, 0..3);
    let script = async {
        until(|| api.log_requests() > 0).await;
        plain += &print_lines(&api, 3..20);
        api.print(T + 10, 0, "no line break at the end");
        tokio::task::yield_now().await;
        api.exit(0);
    };
    let (ended, log) = run_beside(&api, script).await;
    assert!(ended.expect("the end").mid_line);
    assert_eq!(log, plain + "no line break at the end");
}

#[tokio::test]
async fn a_container_that_has_not_started_is_waited_for() {
    let api = ApiServer::start();
    api.change(|cluster| cluster.started = false);
    let script = async {
        until(|| api.server.requests().len() > 3).await;
        api.change(|cluster| cluster.started = true);
        api.print(T, 0, "hello\n");
        api.exit(0);
    };
    let (ended, log) = run_beside(&api, script).await;
    ended.expect("the end");
    assert_eq!(log, "hello\n");
}

#[tokio::test]
async fn connections_that_break_anywhere_lose_and_double_nothing() {
    let api = ApiServer::start();
    let plain = print_lines(&api, 0..60);
    // In a time, after it, in a line, at its end; again and again at the same place.
    let breaks = (1..120).map(|step| 1 + step * 37 % 600).chain([33, 33, 33, 34, 35, 41, 42]).collect();
    api.change(|cluster| cluster.breaks = breaks);
    let script = async {
        until(|| api.cluster().breaks.is_empty()).await;
        api.exit(0);
    };
    let (ended, log) = run_beside(&api, script).await;
    assert_eq!(ended.expect("the end").gaps, 0);
    assert_eq!(log, plain);
    assert!(api.log_requests() > 100, "it was interrupted each time");
}

#[tokio::test]
async fn a_connection_that_goes_silent_is_replaced() {
    let api = ApiServer::start();
    let plain = print_lines(&api, 0..30);
    api.change(|cluster| (cluster.breaks, cluster.silent) = (vec![500], true));
    let script = async {
        until(|| api.log_requests() > 1).await;
        api.exit(0);
    };
    let (ended, log) = run_beside(&api, script).await;
    ended.expect("the end");
    assert_eq!(log, plain);
}

#[tokio::test]
async fn the_end_of_the_container_is_seen_behind_a_silent_connection() {
    let api = ApiServer::start();
    let plain = print_lines(&api, 0..30);
    api.change(|cluster| (cluster.breaks, cluster.silent) = (vec![500], true));
    let script = async {
        until(|| api.log_requests() > 0).await;
        api.exit(5);
    };
    let (ended, log) = run_beside(&api, script).await;
    assert_eq!(ended.expect("the end").how.exit_code, 5);
    assert_eq!(log, plain);
}

#[tokio::test]
async fn rotation_between_connections_keeps_what_the_new_file_still_has() {
    let api = ApiServer::start();
    let mut plain = print_lines(&api, 0..10);
    // The connection breaks at the end of the tenth line: 30 bytes of time, a space, 7 of text, each.
    api.change(|cluster| cluster.breaks = vec![10 * 38, 1, 1]);
    let script = async {
        // The second has begun, so the first has sent its ten lines.
        until(|| api.log_requests() > 1 && api.cluster().breaks.len() < 2).await;
        // The kubelet's file now begins at a line that was seen.
        api.change(|cluster| cluster.rotate(8));
        plain += &print_lines(&api, 10..20);
        api.exit(0);
    };
    let (ended, log) = run_beside(&api, script).await;
    assert_eq!(ended.expect("the end").gaps, 0);
    assert_eq!(log, plain);
}

#[tokio::test]
async fn rotation_that_took_lines_away_is_marked_and_counted() {
    let api = ApiServer::start();
    print_lines(&api, 0..10);
    api.change(|cluster| cluster.breaks = vec![10 * 38]);
    let script = async {
        until(|| api.log_requests() > 0 && api.cluster().breaks.is_empty()).await;
        api.change(|cluster| {
            cluster.rotate(10);
            cluster.lines.push((T + 100, 0, "much later\n".into()));
            cluster.exit_code = Some(0);
        });
    };
    let (ended, log) = run_beside(&api, script).await;
    assert_eq!(ended.expect("the end").gaps, 1);
    assert!(log.contains("line 9\n[hook-runner: lines may be missing here"), "{log}");
    assert!(log.ends_with("much later\n"), "{log}");
}

#[tokio::test]
async fn what_was_rotated_away_before_the_first_connection_is_marked_and_counted() {
    let api = ApiServer::start();
    print_lines(&api, 0..50);
    // The file begins four seconds after the container did.
    api.change(|cluster| cluster.rotate(28));
    api.exit(0);
    let (ended, log) = run(&api).await;
    assert_eq!(ended.expect("the end").gaps, 1);
    assert!(log.starts_with("[hook-runner: lines may be missing here"), "{log}");
    assert!(log.contains("]\nline 28\n") && log.ends_with("line 49\n"), "{log}");
}

/// Nothing is left of what the kubelet has rotated away: neither a line nor a sign of it.
#[tokio::test]
async fn a_log_that_is_empty_long_after_the_start_may_have_been_rotated() {
    for last in ["last\n", ""] {
        let api = ApiServer::start();
        api.change(|cluster| (cluster.started_at, cluster.finished_at) = (seconds_ago(25), seconds_ago(0)));
        let script = async {
            until(|| api.log_requests() > 0).await;
            if !last.is_empty() {
                api.print(since_1970(0) + 60, 0, last);
            }
            api.exit(0);
        };
        let (ended, log) = run_beside(&api, script).await;
        assert_eq!(ended.expect("the end").gaps, 1, "{log}");
        assert!(
            log.starts_with("[hook-runner: lines may be missing here")
                && log.ends_with(&format!("]\n{last}")),
            "{log}"
        );
    }
}

fn since_1970(ago: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs() - ago
}

/// As the API server writes it.
fn seconds_ago(ago: u64) -> String {
    let at = std::process::Command::new("date")
        .args(["-u", "+%FT%TZ", "-d", &format!("@{}", since_1970(ago))])
        .output();
    String::from_utf8(at.expect("date").stdout).expect("text").trim().to_owned()
}

#[tokio::test]
async fn a_first_line_that_comes_while_the_log_is_followed_is_the_first_however_late() {
    let api = ApiServer::start();
    api.change(|cluster| cluster.started_at = seconds_ago(3));
    let script = async {
        until(|| api.log_requests() > 0).await;
        api.print(since_1970(0) + 60, 0, "quiet until now\n");
        api.exit(0);
    };
    let (ended, log) = run_beside(&api, script).await;
    assert_eq!((ended.expect("the end").gaps, log.as_str()), (0, "quiet until now\n"));
}

#[tokio::test]
async fn a_rotation_between_the_last_line_and_the_end_loses_nothing() {
    let api = ApiServer::start();
    let plain = print_lines(&api, 0..10);
    let script = async {
        until(|| api.log_requests() > 0).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        api.change(|cluster| {
            cluster.rotate(10);
            cluster.exit_code = Some(0);
        });
    };
    let (ended, log) = run_beside(&api, script).await;
    assert_eq!((ended.expect("the end").gaps, log), (0, plain));
}

#[tokio::test]
async fn a_container_that_could_not_be_started_is_told_with_the_runtimes_words() {
    let api = ApiServer::start();
    api.change(|cluster| {
        cluster.reason = Some(("StartError", "exec: \"/nothing\": no such file or directory"));
        cluster.in_place_of_log = Some("failed to try resolving symlinks in path");
    });
    api.exit(128);
    let (ended, log) = run(&api).await;
    let how = ended.expect("the end").how;
    assert_eq!((how.exit_code, how.reason.as_str(), log.as_str()), (128, "StartError", ""));
    assert!(how.message.contains("/nothing"), "{}", how.message);
}

#[tokio::test]
async fn a_token_that_is_replaced_while_the_pod_runs_is_read_again() {
    let api = ApiServer::start();
    let plain = print_lines(&api, 0..5);
    let script = async {
        until(|| api.log_requests() > 0).await;
        // First the server changes its mind, then the kubelet writes the new token, and a little later.
        api.change(|cluster| cluster.token = "second".into());
        api.exit(0);
        let asked = api.server.requests().len();
        until(|| api.server.requests().len() > asked + 1).await;
        api.write_token("second\n");
    };
    let (ended, log) = run_beside(&api, script).await;
    ended.expect("the end");
    assert_eq!(log, plain);
}

#[tokio::test]
async fn errors_that_pass_are_waited_out() {
    let api = ApiServer::start();
    let plain = print_lines(&api, 0..5);
    api.change(|cluster| {
        for status in [500, 502, 503, 504, 429, 410, 408] {
            cluster.refusals.push(("/pods/hook-x7f2p", status, "not now"));
            cluster.refusals.push(("/log?", status, "not now"));
        }
    });
    let script = async {
        until(|| api.cluster().refusals.is_empty()).await;
        api.exit(0);
    };
    let (ended, log) = run_beside(&api, script).await;
    ended.expect("the end");
    assert_eq!(log, plain);
}

#[tokio::test]
async fn a_permission_that_comes_a_little_late_is_waited_for() {
    let api = ApiServer::start();
    print_lines(&api, 0..1);
    api.exit(0);
    api.change(|cluster| cluster.refusals = vec![("/pods/", 403, "forbidden"); 3]);
    run(&api).await.0.expect("the end");
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_as_a_rule_of_a_role() {
    for (part, resource) in [("/pods/", "pods"), ("/log?", "pods/log")] {
        let api = ApiServer::start();
        // Of a container that ended before the sidecar looked, too.
        print_lines(&api, 0..1);
        api.exit(0);
        api.change(|cluster| cluster.refusals = vec![(part, 403, "cannot get resource"); 1000]);
        let error = run(&api).await.0.expect_err("no permission");
        let Failure::Api(error) = error else { panic!("{error:?}") };
        assert!(error.to_string().contains("403"), "{error}");
        assert!(error.to_string().contains("cannot get resource"), "{error}");
        let advice = error.advice();
        assert!(advice.starts_with(&format!("{resource} is not among")), "{advice}");
        assert!(advice.contains("resources: [pods, pods/log], verbs: [get]"), "{advice}");
    }
}

#[tokio::test]
async fn a_pod_that_does_not_exist_is_told_with_where_its_name_comes_from() {
    let api = ApiServer::start();
    api.change(|cluster| cluster.refusals = vec![("/pods/", 404, "pods \"x\" not found"); 1000]);
    let Failure::Api(error) = run(&api).await.0.expect_err("no pod") else { panic!("another error") };
    assert!(error.advice().contains("HOOK_RUNNER_POD"), "{}", error.advice());
}

#[tokio::test]
async fn a_container_that_does_not_exist_is_told_with_those_that_do() {
    let api = ApiServer::start();
    api.change(|cluster| cluster.containers = vec!["web", "log-keeper"]);
    let error = run(&api).await.0.expect_err("no container");
    assert_eq!(error.to_string(), "this pod has no container \"app\"; it has web, log-keeper");
}

#[tokio::test]
async fn a_log_that_cannot_be_had_to_its_end_is_no_success() {
    let api = ApiServer::start();
    api.change(|cluster| {
        cluster.in_place_of_log = Some("unable to retrieve container logs for containerd://4f1d");
    });
    api.exit(0);
    let (outcome, log) = run(&api).await;
    let error = outcome.expect_err("no log");
    assert!(matches!(error, Failure::LogLost { .. }), "{error:?}");
    assert!(error.to_string().contains("unable to retrieve"), "{error}");
    assert_eq!(log, "");
}

#[tokio::test]
async fn a_start_that_was_preserved_before_is_not_preserved_again() {
    let api = ApiServer::start();
    api.print(T, 0, "of the first start\n");
    api.exit(1);
    api.change(|cluster| cluster.restart_policy = "OnFailure");
    let mut log = Vec::new();
    let (of, observed) = (api.follow(), Observed::default());
    let following = follow(&of, Some("containerd://first"), &observed, &mut log);
    let script = async {
        until(|| api.server.requests().len() > 3).await;
        api.change(|cluster| {
            cluster.rotate(1);
            cluster.lines.push((T + 20, 0, "of the second start\n".into()));
            cluster.started_at = "2026-11-22T20:12:58Z".into();
            (cluster.id, cluster.exit_code) = ("containerd://second", Some(0));
        });
    };
    let both = async { tokio::join!(following, script).0 };
    let ended = tokio::time::timeout(GENEROUS, both).await.expect("an end").expect("the second start's end");
    assert_eq!((ended.how.exit_code, ended.how.container_id.as_str()), (0, "containerd://second"));
    assert_eq!(log, b"of the second start\n");
}

#[tokio::test]
async fn a_server_with_another_certificate_gets_no_token() {
    let api = ApiServer::start();
    crate::support::server::Authority::new().file_in(&api.account);
    let Failure::Api(error) = run(&api).await.0.expect_err("no trust") else { panic!("another error") };
    assert!(error.to_string().contains("not signed by the authority"), "{error}");
    assert!(error.advice().contains("--ca-file"), "{}", error.advice());
    assert!(api.server.requests().is_empty());
}

/// The real program, in the pod that the API server knows.
fn sidecar(api: &ApiServer, container: &str, grace: &str) -> Test {
    Test::new()
        .args(["sidecar", "--container", container, "--grace", grace])
        .args(["--log", "{}/data/post-hook-output.txt", "--run-id", "job-1"])
        .env("HOOK_RUNNER_SERVICE_ACCOUNT", &api.account.path().to_string_lossy())
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", &api.server.port().to_string())
        .env("HOOK_RUNNER_POD", "hook-x7f2p")
}

#[test]
fn the_log_is_framed_like_a_hooks_and_the_status_is_the_containers() {
    let api = ApiServer::start();
    let plain = print_lines(&api, 0..10);
    api.exit(0);
    let done = sidecar(&api, "app", "1s")
        .stdout(plain.clone())
        .stderr_contains("attempt 1 of run job-1 succeeded")
        .stderr_contains("container app exited with 0")
        .run();
    let log = done.log();
    assert!(log.starts_with("=== hook-runner: attempt 1 of run job-1"), "{log}");
    assert!(log.contains("1. follow container app\n"), "{log}");
    assert!(log.contains(&format!("--- output ---\n{plain}---")), "{log}");

    let failing = ApiServer::start();
    failing.print(T, 0, "it broke");
    failing.exit(3);
    let again = sidecar(&failing, "app", "1s")
        .status(3)
        .stdout("it broke")
        .stderr_contains("attempt 1 of run job-1 failed with status 3")
        .stderr_contains("container app exited with 3")
        .run();
    assert!(again.log().contains("--- output ---\nit broke\n---"), "{}", again.log());
}

#[test]
fn a_stopped_sidecar_goes_on_until_the_container_has_ended() {
    let api = ApiServer::start();
    let plain = print_lines(&api, 0..3);
    let test = sidecar(&api, "app", "60s");
    let mut child = test.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    eventually("the log is followed", || (api.log_requests() > 0).then_some(()));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("TERM");
    // The other container says its last words after it, too, was told to stop.
    assert!(child.try_wait().expect("a state").is_none());
    api.print(T + 9, 0, "last words\n");
    api.exit(143);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), plain + "last words\n");
}

#[test]
fn a_stopped_sidecar_seals_what_it_has_when_its_grace_is_over() {
    let api = ApiServer::start();
    let plain = print_lines(&api, 0..3);
    let test = sidecar(&api, "app", "1s");
    let child = test.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let path = test.command().get_current_dir().expect("a directory").join("data/post-hook-output.txt");
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("the lines are in the log", || read().contains("line 2\n").then_some(()));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("TERM");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143), "{}", String::from_utf8_lossy(&output.stderr));
    let log = read();
    assert!(log.contains(&plain) && log.contains("stopped by SIGTERM (signal 15) from process"), "{log}");
}

#[test]
fn a_sidecar_that_cannot_work_says_what_is_missing_and_ends_with_78() {
    let api = ApiServer::start();
    Test::new()
        .args(["sidecar", "--container", "app", "--log", "{}/data/log"])
        .env("KUBERNETES_SERVICE_HOST", "")
        .status(78)
        .stderr_contains("KUBERNETES_SERVICE_HOST is not set")
        .run();
    sidecar(&api, "app", "1s")
        .env("HOOK_RUNNER_SERVICE_ACCOUNT", "/nowhere")
        .status(78)
        .stderr_contains("cannot read /nowhere/namespace")
        .stderr_contains("automountServiceAccountToken")
        .run();
    sidecar(&api, "web", "1s")
        .status(78)
        .stderr_contains("this pod has no container \"web\"; it has app, log-keeper; correct --container")
        .run();
}

#[test]
fn a_container_that_cannot_start_is_told_in_log_stderr_and_termination_message() {
    let api = ApiServer::start();
    api.change(|cluster| {
        cluster.started = false;
        cluster.reason = Some(("ImagePullBackOff", "Back-off pulling image \"nowhere/app:1\""));
    });
    let done = sidecar(&api, "app", "1s")
        .args(["--timeout", "2s", "--termination-log", "{}/message"])
        .status(124)
        .stderr_contains("the attempt's time of 2s was over: container app has not ended")
        .stderr_contains("ImagePullBackOff: Back-off pulling image")
        .run();
    assert!(done.log().contains("ImagePullBackOff: Back-off"), "{}", done.log());
    let message = std::fs::read_to_string(done.path("message")).expect("a termination message");
    assert!(message.contains("ImagePullBackOff: Back-off"), "{message}");

    let failed = ApiServer::start();
    failed.change(|cluster| cluster.reason = Some(("StartError", "exec: no such file")));
    failed.exit(128);
    sidecar(&failed, "app", "1s")
        .status(128)
        .stderr_contains("container app could not be started, status 128 (StartError: exec: no such file)")
        .run();
}

#[test]
fn an_api_server_out_of_reach_is_told_and_ends_at_the_timeout() {
    let api = ApiServer::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    sidecar(&api, "app", "1s")
        .env("KUBERNETES_SERVICE_PORT", &port.to_string())
        .args(["--timeout", "2s"])
        .status(124)
        .stderr_contains("has not ended: the API server gives no answer: 127.0.0.1")
        .run();
}
