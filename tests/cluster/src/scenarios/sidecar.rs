//! A hook whose image and command stay as they are; its log is preserved by a second container.

use serde_json::json;

use super::{gone, vote};
use crate::cluster::{Case, Result, contains, ensure, until};

/// Enough for the kubelet to rotate the container's log, which our cluster does at 1 MiB.
const LINES: usize = 30_000;

pub(super) fn show(case: &Case) -> Result<String> {
    let lines = format!(
        "i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo \"line $i of a long output, as long as a line of a log often is, to fill it\"; [ $((i % 3000)) != 0 ] || sleep 1; done; echo 'to stderr' >&2"
    );
    let hook = |text: &str| {
        json!({
            "sidecar": {"enabled": true}, "copy": [], "wait": [], "scriptFile": "",
            "command": ["sh", "-c", text], "retries": 0
        })
    };
    let values = case.values("good", &vote("localhost/vote:1.0.0", &hook(&lines)))?;
    case.volume("good")?;
    std::thread::scope(|scope| {
        let helm = scope.spawn(|| {
            case.helm_ok(&["install", "good", &case.chart("vote"), "-f", &values, "--timeout", "5m"])
        });
        // That the log was rotated must be seen, or the scenario shows less than it says.
        let rotated = until("the kubelet rotating the hook's log", 120, || {
            (case.place.state.is_none() || helm.is_finished() || logs_of_hook(case, "good-post-task") > 1)
                .then_some(())
        });
        let seen = logs_of_hook(case, "good-post-task") > 1;
        let installed = helm.join().unwrap_or_else(|_| Err("Helm's thread panicked".into()));
        rotated?;
        installed?;
        ensure(seen || case.place.state.is_none(), || "the log was not rotated before the hook ended".into())
    })?;
    gone(case, "good-post-task")?;
    let log = case.read("good", "post-hook-output.txt");
    let numbers: Vec<usize> =
        log.lines().filter_map(|line| line.strip_prefix("line ")?.split(' ').next()?.parse().ok()).collect();
    ensure(numbers.iter().copied().eq(1..=LINES), || {
        let odd = numbers.iter().copied().zip(1..).find(|(seen, expected)| seen != expected);
        format!(
            "{} lines of {LINES} are in the log; the first that is not in its place: {odd:?}",
            numbers.len()
        )
    })?;
    contains("the log", &log, &["to stderr", "succeeded"])?;

    let values = case.values("bad", &vote("localhost/vote:1.0.0", &hook("echo 'before the end'; exit 7")))?;
    case.volume("bad")?;
    let ended = case.helm(&["install", "bad", &case.chart("vote"), "-f", &values, "--timeout", "5m"]);
    ensure(!ended.ok && case.release_state("bad") == "failed", || {
        format!("Helm reports success: {}", ended.text)
    })?;
    contains("the log", &case.read("bad", "post-hook-output.txt"), &["before the end"])?;
    let pods = case.pods_of("bad-post-task");
    let statuses = pods.first().map(|pod| pod["status"]["containerStatuses"].clone()).unwrap_or_default();
    let sidecar = statuses
        .as_array()
        .into_iter()
        .flatten()
        .find(|status| status["name"] == "hook-runner")
        .cloned()
        .unwrap_or_default();
    let code = &sidecar["state"]["terminated"]["exitCode"];
    ensure(*code == json!(7), || format!("the sidecar ended with {code}"))?;
    Ok(format!(
        "{LINES} lines over rotated logs, each once; a hook that exits 7 makes the sidecar exit 7 and Helm say `failed`"
    ))
}

/// How many files the kubelet has for the log of the Job's hook container, on our own cluster.
fn logs_of_hook(case: &Case, job: &str) -> usize {
    let Some(state) = &case.place.state else { return 0 };
    let mine = format!("{}_{job}", case.namespace);
    let pods = std::fs::read_dir(state.join("pod-logs")).into_iter().flatten().flatten();
    pods.filter(|pod| pod.file_name().to_string_lossy().starts_with(&mine))
        .map(|pod| std::fs::read_dir(pod.path().join("hook")).map_or(0, Iterator::count))
        .sum()
}
