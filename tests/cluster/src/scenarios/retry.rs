//! A first attempt that fails and a retry that succeeds, by a new pod and by a restarted container.

use serde_json::json;

use super::{gone, script, statuses, vote};
use crate::cluster::{Case, Result, contains, ensure};

pub(super) fn show(case: &Case) -> Result<String> {
    for policy in ["Never", "OnFailure"] {
        let release = policy.to_lowercase();
        let mut hook = script("if mkdir /data/tried; then echo 'first try'; exit 3; fi\necho 'second try'");
        hook["restartPolicy"] = json!(policy);
        let values = case.values(&release, &vote("localhost/vote:1.0.0", &hook))?;
        case.volume(&release)?;
        case.helm_ok(&["install", &release, &case.chart("vote"), "-f", &values, "--timeout", "5m"])?;
        gone(case, &format!("{release}-post-task"))?;
        let log = case.read(&release, "post-hook-output.txt");
        contains(
            &format!("the log with {policy}"),
            &log,
            &["attempt 1 of run", "first try", "attempt 2 of run", "second try"],
        )?;
        let seen = statuses(case, &release);
        ensure(seen == [Some(3), Some(0)], || format!("with {policy} the attempts ended with {seen:?}"))?;
    }
    Ok("`Never` and `OnFailure`: one log with both attempts, exit 0, Job deleted".into())
}
