//! A release's life on a kept claim: install, upgrade, rollback, uninstall, install again.

use serde_json::json;

use super::{gone, vote};
use crate::cluster::{Case, Result, contains, ensure};

pub(super) fn show(case: &Case) -> Result<String> {
    let hook = json!({
        "events": ["post-install", "post-upgrade", "post-rollback"],
        "prune": "owned",
        "claim": {"keep": true}
    });
    let first = case.values("first", &vote("localhost/vote:1.0.0", &hook))?;
    let second = case.values("second", &vote("localhost/vote:2.0.0", &hook))?;
    let chart = case.chart("vote");
    case.volume("vote")?;

    case.helm_ok(&["install", "vote", &chart, "-f", &first, "--timeout", "5m"])?;
    content(case, "install", 1)?;
    case.helm_ok(&["upgrade", "vote", &chart, "-f", &second, "--timeout", "5m"])?;
    content(case, "upgrade", 2)?;
    case.helm_ok(&["rollback", "vote", "1", "--timeout", "5m"])?;
    content(case, "rollback", 1)?;
    case.helm_ok(&["uninstall", "vote", "--wait", "--timeout", "2m"])?;
    ensure(!case.get(&["pvc", "vote"]).is_null(), || "the claim was not kept".into())?;
    content(case, "uninstall", 1)?;
    case.helm_ok(&["install", "vote", &chart, "-f", &second, "--timeout", "5m"])?;
    content(case, "install again", 2)?;
    gone(case, "vote-post-task")?;

    let history = case.history("vote");
    ensure(history.len() == 4 && history.iter().all(|row| row["status"] == 0), || {
        format!("the history is {history:?}")
    })?;
    for row in &history {
        let run = row["run"].as_str().unwrap_or_default();
        let log = case.ask_runner("vote", &["logs", "--run", run]).text;
        contains(
            &format!("the log of run {run}"),
            &log,
            &[run, "post-install: replaced vs by or", "answers 200"],
        )?;
    }
    Ok("content follows each revision, what a revision dropped is removed; the logs of all 4 runs can be read".into())
}

/// The volume holds the edited content of this version and nothing of the other.
fn content(case: &Case, after: &str, version: u32) -> Result<()> {
    let page = case.read("vote", "templates/index.html");
    contains(&format!("after {after}, the page"), &page, &["Cats or Dogs"])?;
    let edition = page.contains("Second edition");
    ensure(edition == (version == 2), || {
        format!("after {after}, the page is not that of version {version}:\n{page}")
    })?;
    let added = case.read("vote", "static/new.txt");
    ensure(added.is_empty() == (version == 1), || format!("after {after}, static/new.txt is {added:?}"))
}
