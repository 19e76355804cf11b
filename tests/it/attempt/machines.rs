//! What an attempt says to machines: JSON lines on stderr, an Event on the Job.

use serde_json::Value;

use crate::support::api_server::ApiServer;
use crate::support::harness::Test;

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[test]
fn each_of_the_runners_own_lines_on_stderr_is_a_json_object_and_the_log_stays_text() {
    let file = "log: data/post-hook-output.txt\nlog-format: json\nsteps:\n- copy: {from: app, to: data}\n- exec: {command: [sh, -c, 'echo hi; exit 3']}\n";
    let done = Test::new()
        .file("app/a", "a\n")
        .file("hook.yaml", file)
        .args(["run", "--hook", "hook.yaml", "--run-id", "r1", "--redact", "short"])
        .status(3)
        .stdout("hi\n")
        .any_stderr()
        .run();
    let lines = objects(&done.stderr);
    for line in &lines {
        assert_eq!(line["logger"], "hook-runner");
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }
    let told = |level: &str, part: &str| {
        lines.iter().any(|line| {
            line["level"] == level && line["message"].as_str().is_some_and(|text| text.contains(part))
        })
    };
    assert!(told("info", "step 1 of 2 begins: copy app to data"), "{}", done.stderr);
    assert!(told("warning", "shorter than"), "{}", done.stderr);
    assert!(told("error", "attempt 1 of run r1 failed with status 3"), "{}", done.stderr);
    assert!(done.log().contains("\nhook-runner: step 1 of 2 begins: copy app to data\n"), "{}", done.log());
}

#[test]
fn wrong_usage_is_a_json_object_as_well() {
    let done =
        Test::new().args(["run", "--log-format", "json", "--log", "none"]).status(78).any_stderr().run();
    let lines = objects(&done.stderr);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["level"], "error");
}

/// A run in the pod that the API server knows.
fn in_cluster(api: &ApiServer, script: &str) -> Test {
    Test::new()
        .args(["run", "--events", "--log", "data/post-hook-output.txt"])
        .args(["--run-id", "0f9fd0f4-7f3c-4a5e-9c0e-0f3cbb1d2a11", "--", "sh", "-c", script])
        .env("HOOK_RUNNER_SERVICE_ACCOUNT", &api.account.path().to_string_lossy())
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", &api.server.port().to_string())
        .env("HOOK_RUNNER_POD", "hook-x7f2p")
        .env("HOOK_RUNNER_JOB", "vote-hook")
}

#[test]
fn the_summary_becomes_an_event_on_the_job() {
    for (script, status, kind, reason) in
        [("exit 0", 0, "Normal", "HookSucceeded"), ("exit 3", 3, "Warning", "HookFailed")]
    {
        let api = ApiServer::start();
        in_cluster(&api, script).status(status).any_stderr().run();
        let requests = api.server.requests();
        assert_eq!(requests.len(), 1, "one call, and nothing else");
        assert_eq!(
            (requests[0].method.as_str(), requests[0].path()),
            ("POST", "/api/v1/namespaces/apps/events")
        );
        assert_eq!(requests[0].header("content-type"), Some("application/json"));
        let event: Value = serde_json::from_str(&requests[0].body).expect("JSON");
        assert_eq!((&event["type"], &event["reason"]), (&kind.into(), &reason.into()));
        let job = &event["involvedObject"];
        assert_eq!(
            (&job["kind"], &job["name"], &job["namespace"]),
            (&"Job".into(), &"vote-hook".into(), &"apps".into())
        );
        assert_eq!(job["uid"], "0f9fd0f4-7f3c-4a5e-9c0e-0f3cbb1d2a11");
        assert_eq!(event["metadata"]["namespace"], "apps");
        let message = event["message"].as_str().expect("a message");
        assert!(message.contains("attempt 1 of run 0f9fd0f4") && message.len() <= 1024, "{message}");
    }
}

#[test]
fn an_event_that_may_not_be_made_changes_no_result_and_says_what_is_missing() {
    let api = ApiServer::start();
    api.change(|cluster| cluster.refusals = vec![("/events", 403, "events is forbidden")]);
    in_cluster(&api, "exit 0")
        .stderr_contains("events is forbidden")
        .stderr_contains("resources: [events], verbs: [create]")
        .stderr_contains("the result stands")
        .run();
    // Nor does a pod without a service account.
    let test = Test::new().args(["run", "--events", "--log", "none", "--", "true"]);
    test.stderr_contains("KUBERNETES_SERVICE_HOST is not set").run();
}
