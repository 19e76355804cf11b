//! Two hooks of one chart on one claim, in the order written down, each with a log of its own beside the content.

use serde_json::json;

use super::{gone, overlay};
use crate::cluster::{Case, Result, contains, ensure};

pub(super) fn show(case: &Case) -> Result<String> {
    let hook = json!({
        "image": "localhost/vote:1.0.0", "imagePullPolicy": "Never",
        "runner": {"image": "localhost/hook-runner:0.1.0"}, "timeout": "2m"
    });
    let mut migrate = json!({
        "command": ["grep", "-c", "Cats vs Dogs", "/data/content/templates/index.html"],
        "env": [], "volumes": [], "volumeMounts": [], "redact": {"env": [], "files": []}
    });
    overlay(&mut migrate, &hook);
    let mut seed = hook;
    seed["recordEvents"] = json!(true);
    case.volume("several")?;
    let values = case.values("several", &json!({"seed": seed, "migrate": migrate}))?;
    case.helm_ok(&["install", "two", &case.chart("several"), "-f", &values, "--timeout", "5m"])?;
    gone(case, "two-several-seed")?;
    gone(case, "two-several-migrate")?;
    contains(
        "the first hook's log",
        &case.read("several", "hook-logs/two-several-seed.txt"),
        &["succeeded"],
    )?;
    contains(
        "the second hook's log",
        &case.read("several", "hook-logs/two-several-migrate.txt"),
        &["succeeded"],
    )?;
    // The Job is gone, and its Event is not.
    let events = case.list(&[
        "events",
        "--field-selector",
        "involvedObject.kind=Job,involvedObject.name=two-several-seed",
    ]);
    let told = events.iter().any(|event| {
        event["source"]["component"] == "hook-runner" && event["message"].to_string().contains("succeeded")
    });
    ensure(told, || format!("no Event of the runner's: {events:?}"))?;
    ensure(case.read("several", "content/hook-logs/two-several-seed.txt").is_empty(), || {
        "the log is among the content".into()
    })?;
    Ok("`deployed`: the second hook found what the first had copied; each has its log in `hook-logs/`, beside the content; the summary is an Event on the Job".into())
}
