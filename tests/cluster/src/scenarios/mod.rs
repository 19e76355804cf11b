//! The scenarios, in the order of the table. Each is a function of a `Case` that tells in one line what was seen.

mod controller;
mod flux;
mod hooks;
mod injected;
mod interrupted;
mod one_liner;
mod output_policy;
mod plugin;
mod pod_failure;
mod published;
mod reference;
mod restricted;
mod retry;
mod revisions;
mod runner_entry;
mod several;
mod shards;
mod sidecar;
mod sidecar_troubles;
mod two_jobs;

use serde_json::{Value, json};

use crate::cluster::{Case, Result};

/// One row of the table.
pub(crate) struct Scenario {
    /// Its number in the table.
    pub(crate) number: u32,
    /// What it shows.
    pub(crate) title: &'static str,
    /// What the shell one-liner does in its place.
    pub(crate) one_liner: &'static str,
    /// Shows it.
    pub(crate) show: fn(&Case) -> Result<String>,
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    let scenario = |number, title, one_liner, show| Scenario { number, title, one_liner, show };
    vec![
        scenario(
            1,
            "The reference: install, edited page served, Job deleted, log on the volume",
            "stdout is in the file",
            reference::show,
        ),
        scenario(
            2,
            "A hook that fails",
            "`deployed`; Job and error message gone (seen here)",
            one_liner::show,
        ),
        scenario(
            3,
            "Upgrade, rollback, uninstall, reinstall with a kept claim",
            "only the last run's output is left",
            revisions::show,
        ),
        scenario(
            4,
            "A failed attempt, then one that succeeds",
            "the first attempt counts as success",
            retry::show,
        ),
        scenario(
            5,
            "Deadline, pod deletion, OOM kill, SIGKILL",
            "half-written files may stay; nothing says so",
            interrupted::show,
        ),
        scenario(
            6,
            "Pod Security `restricted`, an arbitrary UID with group 0",
            "`cp -r` works as far as modes allow",
            restricted::show,
        ),
        scenario(
            7,
            "podFailurePolicy on the documented statuses",
            "always status 0: no policy can act",
            pod_failure::show,
        ),
        scenario(8, "Two Jobs on one volume", "both write", two_jobs::show),
        scenario(9, "Scale-out: `--shard auto`", "-", shards::show),
        scenario(
            10,
            "The ways the runner enters a pod",
            "needs a shell, coreutils and curl in the image",
            runner_entry::show,
        ),
        scenario(
            11,
            "With `helm.sh/hook-output-log-policy`",
            "Helm prints what the container printed",
            output_policy::show,
        ),
        scenario(12, "Sidecar of a hook that cannot be changed", "-", sidecar::show),
        scenario(13, "Two hooks with two logs in one release", "both write one file", several::show),
        scenario(
            14,
            "Argo CD's way of applying; the log when nothing mounts the claim",
            "-",
            controller::show,
        ),
        scenario(15, "`kubectl hook-log` and `helm hook-log`", "-", plugin::show),
        scenario(
            16,
            "Six hooks of well-known charts: certificates, migrations, set-ups",
            "as their charts have them: status 0 or not, the log is gone",
            hooks::show,
        ),
        scenario(17, "An injected sidecar, native and plain", "-", injected::show),
        scenario(
            18,
            "Flux's way: a failed install, remediated, tried again",
            "the evidence is uninstalled",
            flux::show,
        ),
        scenario(19, "From a repository: chart and image as published, `helm test`", "-", published::show),
        scenario(
            20,
            "A sidecar that comes late, may not read or has nothing to follow",
            "-",
            sidecar_troubles::show,
        ),
    ]
}

/// Values for `charts/vote` with the suite's images; `hook` is laid over the hook's block.
fn vote(image: &str, hook: &Value) -> Value {
    let mut block = json!({
        "imagePullPolicy": "Never",
        "runner": {"image": "localhost/hook-runner:0.1.0"},
        "timeout": "2m"
    });
    overlay(&mut block, hook);
    json!({"image": image, "hook-runner": block})
}

fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// A script in place of the chart's own.
fn script(text: &str) -> Value {
    json!({"script": format!("#!/bin/sh\n{text}\n"), "scriptFile": ""})
}

/// The page as the Service answers it, through the API server.
fn page(case: &Case, service: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/{}/services/{service}:http/proxy/", case.namespace);
    case.kubectl_ok(&["get", "--raw", &path])
}

/// Fails when a hook Job or one of its pods is still there. The deletion of the pods follows the Job's.
fn gone(case: &Case, job: &str) -> Result<()> {
    crate::cluster::until(&format!("Job {job} and its pods deleted"), 60, || {
        (case.get(&["job", job]).is_null() && case.pods_of(job).is_empty()).then_some(())
    })
}

/// The termination messages of a Job's pods, one a line.
fn messages(case: &Case, job: &str) -> String {
    let mut text = String::new();
    for pod in case.pods_of(job) {
        for status in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
            for state in ["state", "lastState"] {
                if let Some(message) = status[state]["terminated"]["message"].as_str() {
                    text += message;
                    text += "\n";
                }
            }
        }
    }
    text
}

/// The statuses of a volume's attempts; none for one that was interrupted.
fn statuses(case: &Case, claim: &str) -> Vec<Option<u64>> {
    case.history(claim).iter().map(|row| row["status"].as_u64()).collect()
}
