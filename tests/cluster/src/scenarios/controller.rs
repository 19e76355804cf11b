//! What Argo CD does: `helm template`, always as revision 1, and `kubectl apply`; a second sync replaces the hook's Job.
//! Then `helm test`'s pod, and the log read while nothing else mounts the claim.

use serde_json::json;

use super::vote;
use crate::cluster::{Case, Result, command, contains, ensure, until};

pub(super) fn show(case: &Case) -> Result<String> {
    case.volume("vote")?;
    let hook = json!({"annotations": {"argocd.argoproj.io/sync-wave": "5"}, "commonLabels": {"app.kubernetes.io/part-of": "vote"}});
    let values = case.values("argo", &vote("localhost/vote:1.0.0", &hook))?;
    let chart = case.chart("vote");
    let rendered = case.helm_ok(&["template", "vote", &chart, "-f", &values, "--skip-tests"])?;
    let kubectl = |arguments: &[&str]| {
        let mut all = vec!["--namespace", &case.namespace];
        all.extend(arguments);
        let ended = command(&case.place.bin.join("kubectl"), &all, Some(&rendered));
        ensure(ended.ok, || format!("kubectl {}: {}", arguments.join(" "), ended.text))
    };
    kubectl(&["apply", "--dry-run=server", "-f", "-"])?;
    for sync in 1..=2 {
        // BeforeHookCreation, which Argo CD makes of before-hook-creation.
        case.kubectl(&["delete", "job", "vote-post-task", "--ignore-not-found", "--wait"]);
        kubectl(&["apply", "-f", "-"])?;
        until(&format!("the Job of sync {sync} complete"), 180, || {
            (case.get(&["job", "vote-post-task"])["status"]["succeeded"] == 1).then_some(())
        })?;
    }
    let runs: std::collections::BTreeSet<String> =
        case.history("vote").iter().map(|row| row["run"].to_string()).collect();
    ensure(runs.len() == 2, || format!("two syncs are the runs {runs:?}"))?;

    // The application is gone, and the claim is mounted by nothing.
    case.kubectl_ok(&["delete", "deployment", "vote", "--wait"])?;
    let notes = case.helm_ok(&["install", "vote", &chart, "-f", &values, "--dry-run=client"])?;
    let line = notes.lines().map(str::trim).find(|line| line.starts_with("kubectl run ")).unwrap_or_default();
    ensure(!line.is_empty(), || format!("NOTES.txt names no command: {notes}"))?;
    let path = format!("{}:/usr/bin:/bin", case.place.bin.display());
    let ended =
        command(std::path::Path::new("/usr/bin/env"), &[&format!("PATH={path}"), "sh", "-c", line], None);
    contains(
        "what the command of NOTES.txt shows",
        &ended.text,
        &["post-install: http://vote:5000 answers 200"],
    )?;
    Ok("`helm template` to `kubectl apply`, twice at revision 1: two runs, the claim kept; the command of NOTES.txt shows the log when nothing mounts the claim".into())
}
