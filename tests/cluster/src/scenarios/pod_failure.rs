//! The documented statuses under the library chart's podFailurePolicy.

use serde_json::json;

use super::{gone, script, statuses, vote};
use crate::cluster::{Case, Result, contains, ensure};

pub(super) fn show(case: &Case) -> Result<String> {
    // 78: the hook is wrong; trying again is in vain.
    let mut hook = script("echo never");
    hook["copy"] = json!(["/no-such-folder:/data"]);
    let values = case.values("wrong", &vote("localhost/vote:1.0.0", &hook))?;
    case.volume("wrong")?;
    let ended = case.helm(&["install", "wrong", &case.chart("vote"), "-f", &values, "--timeout", "5m"]);
    ensure(!ended.ok, || format!("Helm reports success: {}", ended.text))?;
    let conditions = case.get(&["job", "wrong-post-task"])["status"]["conditions"].to_string();
    contains("the Job's condition", &conditions, &["PodFailurePolicy", "78"])?;
    let pods = case.pods_of("wrong-post-task").len();
    ensure(pods == 1, || format!("{pods} pods were made"))?;

    // 74 and 75 pass: I/O, another run on the volume.
    let hook = script(
        "if mkdir /data/one; then exit 74; fi\nif mkdir /data/two; then exit 75; fi\necho 'third try'",
    );
    let values = case.values("passing", &vote("localhost/vote:1.0.0", &hook))?;
    case.volume("passing")?;
    case.helm_ok(&["install", "passing", &case.chart("vote"), "-f", &values, "--timeout", "5m"])?;
    gone(case, "passing-post-task")?;
    let seen = statuses(case, "passing");
    ensure(seen == [Some(74), Some(75), Some(0)], || format!("the attempts ended with {seen:?}"))?;
    Ok("78 fails the Job after one pod (`PodFailurePolicy`); 74 and 75 are retried, then `deployed`".into())
}
