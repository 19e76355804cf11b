//! What Argo CD does: `helm template`, always as revision 1, and `kubectl apply`; a second sync replaces the hook's Job.
//! Then the log read while nothing else mounts the claim, and what the API server says to everything that the charts' tests render.

use serde_json::json;

use super::vote;
use crate::cluster::{Case, Result, command, contains, ensure, until};

pub(super) fn show(case: &Case) -> Result<String> {
    // First, while nothing of these names is there.
    case.enforce("baseline")?; // one of them asks for root
    let renderings = dry_runs(case)?;
    case.enforce("restricted")?;
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
    // The claim is there and is no release's: Helm 3 asks before it shows the notes.
    let dry = ["install", "vote", &chart, "-f", &values, "--dry-run=client", "--take-ownership"];
    let notes = case.helm_ok(&dry)?;
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
    Ok(format!(
        "`helm template` to `kubectl apply`, twice at revision 1: two runs, the claim kept; the command of NOTES.txt shows the log when nothing mounts the claim; the API server's dry run takes all {renderings} renderings of the charts' tests"
    ))
}

/// Gives each rendering of the charts' tests to the API server, which checks it as if it were applied.
fn dry_runs(case: &Case) -> Result<usize> {
    let files = |folder: &str| -> Result<Vec<std::path::PathBuf>> {
        let folder = case.place.charts.join(folder);
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(entries.flatten().map(|entry| entry.path()).collect())
    };
    let mut renderings = Vec::new();
    for path in files("golden")? {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let here = format!("namespace: {}", case.namespace);
        renderings
            .push((path, text.replace("namespace: example", &here).replace("namespace: \"example\"", &here)));
    }
    for path in files("hooks")? {
        let values = path.display().to_string();
        let runner = "hook-runner.runner.image=localhost/hook-runner:0.1.0";
        let text =
            case.helm_ok(&["template", "dry", &case.chart("author"), "-f", &values, "--set", runner])?;
        renderings.push((path, text));
    }
    ensure(renderings.len() > 15, || format!("only {} renderings", renderings.len()))?;
    for (path, text) in &renderings {
        let words = ["--namespace", &case.namespace, "apply", "--dry-run=server", "-f", "-"];
        let ended = command(&case.place.bin.join("kubectl"), &words, Some(text));
        ensure(ended.ok, || format!("the API server refuses {}: {}", path.display(), ended.text))?;
    }
    Ok(renderings.len())
}
