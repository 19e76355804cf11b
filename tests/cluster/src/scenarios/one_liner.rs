//! The shell one-liner and hook-runner with the same failing script.

use serde_json::{Value, json};

use super::{gone, messages, script, statuses, vote};
use crate::cluster::{Case, Result, contains, ensure};
use crate::manifest;

const FAILING: &str = "echo 'step one done'\necho 'cannot reach the database' >&2\nexit 3";

pub(super) fn show(case: &Case) -> Result<String> {
    one_liner(case)?;
    let values = case.values(
        "vote",
        &vote("localhost/vote:1.0.0", &{
            let mut hook = script(FAILING);
            hook["retries"] = json!(1);
            hook
        }),
    )?;
    case.volume("vote")?;
    let ended = case.helm(&["install", "vote", &case.chart("vote"), "-f", &values, "--timeout", "5m"]);
    ensure(!ended.ok, || format!("Helm reports success: {}", ended.text))?;
    let state = case.release_state("vote");
    ensure(state == "failed", || format!("Helm says {state}"))?;
    ensure(!case.get(&["job", "vote-post-task"]).is_null(), || "the Job is gone".into())?;
    let told = messages(case, "vote-post-task");
    contains("the termination message", &told, &["\"status\":3", "post-task.sh exited with 3"])?;
    let log = case.read("vote", "post-hook-output.txt");
    for line in ["step one done", "cannot reach the database"] {
        let times = log.lines().filter(|text| *text == line).count();
        ensure(times == 2, || format!("{line:?} is {times} times in the log of two attempts:\n{log}"))?;
    }
    let seen = statuses(case, "vote");
    ensure(seen == [Some(3), Some(3)], || format!("the attempts ended with {seen:?}"))?;
    Ok("one-liner: `deployed`, Job gone, message lost; hook-runner: `failed`, Job stays, cause in the termination message, stdout and stderr of both attempts in the log".into())
}

/// What charts do today; the fault is reproduced, not assumed.
fn one_liner(case: &Case) -> Result<()> {
    let mut pod = manifest::pod(
        "localhost/vote:1.0.0",
        &["sh", "-c", "{ /config/post-install.sh; } | tee /data/post-hook-output.txt"],
        "plain",
    );
    let append = |list: &mut Value, item: Value| list.as_array_mut().map(|list| list.push(item));
    append(
        &mut pod["volumes"],
        json!({"name": "config", "configMap": {"name": "plain", "defaultMode": 0o555}}),
    );
    append(&mut pod["containers"][0]["volumeMounts"], json!({"name": "config", "mountPath": "/config"}));
    let configuration = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plain"},
        "data": {"post-install.sh": format!("#!/bin/sh\n{FAILING}\n")}
    });
    let values =
        case.manifests("plain", &[manifest::claim("plain"), configuration, manifest::job("plain", &pod, 1)])?;
    case.volume("plain")?;
    case.helm_ok(&["install", "plain", &case.chart("manifests"), "-f", &values, "--timeout", "5m"])?;
    let state = case.release_state("plain");
    ensure(state == "deployed", || {
        format!("with the one-liner, Helm says {state}; the fault was not reproduced")
    })?;
    gone(case, "plain")?;
    let file = case.read("plain", "post-hook-output.txt");
    contains("the one-liner's file", &file, &["step one done"])?;
    ensure(!file.contains("cannot reach"), || {
        "the one-liner's file holds stderr; the fault was not reproduced".into()
    })
}
