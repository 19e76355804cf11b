//! Records the outcome as a Kubernetes Event on the Job, where `kubectl describe job` and `kubectl events` show it. The
//! Job's service account needs the verb `create` on `events`; without it the outcome stands and a warning says so.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::outcome::Outcome;
use crate::exit::Kind;
use crate::kubernetes::Access;
use crate::support::times;

/// How long to wait for the API server; shorter when the pod is being stopped.
const PATIENCE: Duration = Duration::from_secs(5);
const WHEN_STOPPED: Duration = Duration::from_secs(1);
/// Length limit of a note in bytes (Kubernetes, `EventSeries` validation).
const LONGEST: usize = 1000;

/// Records the outcome; returns a sentence if that is impossible.
pub async fn record(outcome: &Outcome) -> Result<(), String> {
    let directory = std::env::var_os("HOOK_RUNNER_SERVICE_ACCOUNT").map(PathBuf::from);
    let access = Access::from_environment(directory.as_deref(), None).map_err(|error| error.to_string())?;
    let Some(event) = event(outcome, &access) else {
        return Err("HOOK_RUNNER_JOB is not set: set it to the Job's name".into());
    };
    let stopped = outcome.failure.as_ref().is_some_and(|failure| matches!(failure.kind, Kind::Stopped(_)));
    let patience = if stopped { WHEN_STOPPED } else { PATIENCE };
    let recorded = tokio::time::timeout(patience, access.create_event(&event)).await;
    match recorded {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("{error}; {}", error.advice())),
        Err(_) => Err(format!("the API server gave no answer within {} s", patience.as_secs())),
    }
}

/// The `v1.Event`; `None` if the Job is unknown.
fn event(outcome: &Outcome, access: &Access) -> Option<Value> {
    let job = outcome.identity.job.as_ref()?;
    let succeeded = outcome.status() == 0;
    let now = times::now();
    let seconds = format!("{}Z", now.split('.').next().unwrap_or_default());
    let message: String = outcome.line().chars().take(LONGEST).collect();
    Some(json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": format!("{job}."), "namespace": access.namespace},
        "involvedObject": {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "namespace": access.namespace,
            "name": job,
            "uid": uid(&outcome.identity.run),
        },
        "type": if succeeded { "Normal" } else { "Warning" },
        "reason": if succeeded { "HookSucceeded" } else { "HookFailed" },
        "message": message,
        "source": {"component": "hook-runner", "host": outcome.identity.node},
        "reportingComponent": "hook-runner",
        "reportingInstance": access.pod,
        "firstTimestamp": seconds,
        "lastTimestamp": seconds,
        "count": 1,
    }))
}

/// The run id if it is the Job's UID, as with the charts; `kubectl describe` selects events by it.
fn uid(run: &str) -> Option<&str> {
    let id = run.split(".shard-").next()?;
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    (id.len() == 36 && id.bytes().enumerate().all(fits)).then_some(id)
}
