//! What Flux's helm-controller does: `helm upgrade --install` without waiting for the application, an uninstall of a first release
//! that failed, and another try. With `claim.keep` the log of the failed one is there, and the next one goes on with it.

use serde_json::json;

use super::{gone, overlay, script, vote};
use crate::cluster::{Case, Result, contains, ensure};

pub(super) fn show(case: &Case) -> Result<String> {
    // As in the README's page, with the labels that Flux puts on what it applies.
    let mut hook = json!({
        "claim": {"keep": true}, "helmTimeout": "5m", "retries": 0,
        "commonLabels": {"helm.toolkit.fluxcd.io/name": "vote", "helm.toolkit.fluxcd.io/namespace": case.namespace}
    });
    let good = case.values("good", &vote("localhost/vote:1.0.0", &hook))?;
    overlay(&mut hook, &script("echo 'the first try'; exit 3"));
    let bad = case.values("bad", &vote("localhost/vote:1.0.0", &hook))?;
    case.volume("vote")?;
    let chart = case.chart("vote");
    let ended =
        case.helm(&["upgrade", "--install", "vote", &chart, "-f", &bad, "--wait=false", "--timeout", "5m"]);
    // Helm 4 has no such value; without --wait it waits for hooks alone.
    let ended = if ended.text.contains("invalid argument") || ended.text.contains("unknown") {
        case.helm(&["upgrade", "--install", "vote", &chart, "-f", &bad, "--timeout", "5m"])
    } else {
        ended
    };
    ensure(!ended.ok && case.release_state("vote") == "failed", || {
        format!("Helm reports success: {}", ended.text)
    })?;
    case.helm_ok(&["uninstall", "vote", "--wait"])?;
    ensure(!case.get(&["pvc", "vote"]).is_null(), || "the claim went with the release".into())?;

    case.helm_ok(&["upgrade", "--install", "vote", &chart, "-f", &good, "--timeout", "5m"])?;
    ensure(case.release_state("vote") == "deployed", || case.release_state("vote"))?;
    gone(case, "vote-post-task")?;
    let results = case.results("vote");
    ensure(results == "command, succeeded", || format!("the attempts ended with {results}"))?;
    contains(
        "the logs of both",
        &case.ask_runner("vote", &["logs", "--all"]).text,
        &["the first try", "answers 200"],
    )?;
    Ok("the first release failed and was uninstalled as Flux remediates it; the kept claim has its log, and the next one's".into())
}
