//! The reference scenario with `charts/vote`.

use serde_json::json;

use super::{gone, page, vote};
use crate::cluster::{Case, Result, contains, ensure, until};

pub(super) fn show(case: &Case) -> Result<String> {
    case.volume("vote")?;
    let values = case.values("vote", &vote("localhost/vote:1.0.0", &json!({})))?;
    case.helm_ok(&["install", "vote", &case.chart("vote"), "-f", &values, "--timeout", "5m"])?;
    let state = case.release_state("vote");
    ensure(state == "deployed", || format!("Helm says {state}"))?;
    gone(case, "vote-post-task")?;
    let served = until("the page answered", 60, || page(case, "vote").ok())?;
    contains("the page that is served", &served, &["Cats or Dogs"])?;
    let log = case.kubectl_ok(&["exec", "deploy/vote", "-c", "vote", "--", "cat", "post-hook-output.txt"])?;
    contains(
        "the preserved log",
        &log,
        &[
            "post-install: found /data/templates/index.html",
            "post-install: replaced vs by or",
            "post-install: waiting for http://vote:5000 to answer 200",
            "post-install: http://vote:5000 answers 200",
            "succeeded",
        ],
    )?;
    Ok("`deployed`; \"Cats or Dogs\" served; Job and pod gone; every line in the log".into())
}
