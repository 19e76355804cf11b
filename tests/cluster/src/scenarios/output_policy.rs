//! Helm's own way of showing a hook's output, together with the preserved log.

use serde_json::json;

use super::{gone, script, vote};
use crate::cluster::{Case, Result, contains, ensure};

pub(super) fn show(case: &Case) -> Result<String> {
    let mut hook = script("if mkdir /data/tried; then echo 'first try'; exit 3; fi\necho 'second try'");
    hook["annotations"] = json!({"helm.sh/hook-output-log-policy": "hook-succeeded,hook-failed"});
    let values = case.values("vote", &vote("localhost/vote:1.0.0", &hook))?;
    case.volume("vote")?;
    let printed =
        case.helm_ok(&["install", "vote", &case.chart("vote"), "-f", &values, "--timeout", "5m"])?;
    gone(case, "vote-post-task")?;
    contains("what Helm printed", &printed, &["second try"])?;
    let log = case.read("vote", "post-hook-output.txt");
    contains("the log", &log, &["first try", "second try"])?;
    let attempts = if printed.contains("first try") { "both attempts" } else { "only the last attempt" };
    ensure(!case.history("vote").is_empty(), || "no history on the volume".into())?;
    Ok(format!("Helm prints {attempts} to its caller and keeps nothing; the volume keeps both attempts"))
}
