//! Two Jobs on one volume: the second waits for the first, or ends with 75.

use serde_json::json;

use super::messages;
use crate::cluster::{Case, Result, contains, ensure, until};
use crate::manifest;

pub(super) fn show(case: &Case) -> Result<String> {
    let command = |wait: &'static str, text: &'static str| {
        [
            "/hook-runner",
            "run",
            "--log",
            "/data/post-hook-output.txt",
            "--lock-timeout",
            wait,
            "--",
            "sh",
            "-c",
            text,
        ]
    };
    let pod = |words: &[&str]| manifest::pod("localhost/large:1.0.0", words, "shared");
    // An ordinary Job of the release, not a hook: Helm runs hooks one after the other.
    let mut holder = manifest::job(
        "holder",
        &pod(&command("1m", "echo holding; until [ -e /data/go ]; do sleep 0.2; done; echo released")),
        0,
    );
    holder["metadata"]["annotations"] = json!({});
    let claim = manifest::claim("shared");
    case.volume("shared")?;

    let values = case.manifests("holder", &[claim.clone(), holder.clone()])?;
    let chart = case.chart("manifests");
    case.helm_ok(&["install", "jobs", &chart, "-f", &values])?;
    until("the first Job's run", 90, || {
        case.read("shared", "post-hook-output.txt").contains("holding").then_some(())
    })?;

    let impatient = manifest::job("impatient", &pod(&command("2s", "echo impatient ran")), 0);
    let values = case.manifests("impatient", &[claim.clone(), holder.clone(), impatient])?;
    let ended = case.helm(&["upgrade", "jobs", &chart, "-f", &values, "--timeout", "2m"]);
    ensure(!ended.ok, || format!("Helm reports success: {}", ended.text))?;
    let told = messages(case, "impatient");
    contains("the termination message", &told, &["\"status\":75", "holder"])?;

    let patient = manifest::job("patient", &pod(&command("2m", "echo patient ran")), 0);
    let values = case.manifests("patient", &[claim, holder, patient])?;
    std::thread::scope(|scope| {
        let helm =
            scope.spawn(|| case.helm_ok(&["upgrade", "jobs", &chart, "-f", &values, "--timeout", "4m"]));
        let released = until("the second Job's pod running", 90, || {
            case.pods_of("patient").iter().any(|pod| pod["status"]["phase"] == "Running").then_some(())
        })
        .and_then(|()| {
            ensure(!case.read("shared", "post-hook-output.txt").contains("patient ran"), || {
                "both ran at once".into()
            })?;
            let pods = case.pods_of("holder");
            let name = pods[0]["metadata"]["name"].as_str().unwrap_or_default();
            case.kubectl_ok(&["exec", name, "--", "touch", "/data/go"])
        });
        let upgraded = helm.join().unwrap_or_else(|_| Err("Helm's thread panicked".into()));
        released?;
        upgraded
    })?;
    let seen = case.results("shared");
    ensure(!case.ask_runner("shared", &["logs", "--all"]).text.contains("impatient ran"), || {
        "the impatient one ran".into()
    })?;
    contains("the last run's log", &case.read("shared", "post-hook-output.txt"), &["patient ran"])?;
    Ok(format!(
        "the impatient one ends with 75 and names the holder; the patient one waits and then runs ({seen})"
    ))
}
