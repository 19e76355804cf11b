//! Pod Security `restricted`. Every scenario's namespace enforces it; here the control is that it refuses, and an id
//! such as some distributions assign: any UID, group 0.

use serde_json::json;

use super::{gone, page, vote};
use crate::cluster::{Case, Result, contains, ensure, until};

pub(super) fn show(case: &Case) -> Result<String> {
    let refused = case.kubectl(&[
        "run",
        "control",
        "--image=localhost/vote:1.0.0",
        "--image-pull-policy=Never",
        "--dry-run=server",
    ]);
    ensure(!refused.ok && refused.text.contains("restricted"), || {
        format!("the namespace does not enforce it: {}", refused.text)
    })?;
    let hook = json!({"podSecurityContext": {"runAsUser": 1_000_770_000, "runAsGroup": 0, "fsGroup": 1_000_770_000}});
    let values = case.values("vote", &vote("localhost/vote:1.0.0", &hook))?;
    case.volume("vote")?;
    case.helm_ok(&["install", "vote", &case.chart("vote"), "-f", &values, "--timeout", "5m"])?;
    gone(case, "vote-post-task")?;
    let served = until("the page answered", 60, || page(case, "vote").ok())?;
    contains("the page that is served", &served, &["Cats or Dogs"])?;
    let id = case.kubectl_ok(&["exec", "deploy/vote", "-c", "vote", "--", "id"])?;
    contains("the application's id", &id, &["uid=1000770000", "gid=0"])?;
    Ok("admitted and `deployed` as UID 1000770000, group 0, read-only root, no capabilities".into())
}
