//! How the runner gets into the hook's pod: by `install`, by `COPY --from`, as the image's only program, and by an
//! image volume where the container runtime has them.

use serde_json::json;

use super::{gone, vote};
use crate::cluster::{Case, Result, contains, ensure, until};
use crate::manifest;

pub(super) fn show(case: &Case) -> Result<String> {
    // COPY --from; `install` is what every other scenario with charts/vote does.
    let hook = json!({"runner": {"from": "image", "path": "/hook-runner"}});
    let values = case.values("copied", &vote("localhost/vote-with-runner:1.0.0", &hook))?;
    case.volume("copied")?;
    case.helm_ok(&["install", "copied", &case.chart("vote"), "-f", &values, "--timeout", "5m"])?;
    gone(case, "copied-post-task")?;

    let words = [
        "/hook-runner",
        "run",
        "--copy",
        "/app:/data/app",
        "--log",
        "/data/post-hook-output.txt",
        "--wait-for",
        "file:/data/app/templates/index.html",
    ];
    let bare = manifest::job("bare", &manifest::pod("localhost/content:1.0.0", &words, "bare"), 0);
    let values = case.manifests("bare", &[manifest::claim("bare"), bare])?;
    case.volume("bare")?;
    case.helm_ok(&["install", "bare", &case.chart("manifests"), "-f", &values, "--timeout", "3m"])?;
    gone(case, "bare")?;
    contains("the copied page", &case.read("bare", "app/templates/index.html"), &["Cats vs Dogs"])?;

    Ok(format!(
        "`install` and COPY --from: `deployed`; an image of nothing but runner and content: `deployed`; image volume: {}",
        image_volume(case)?
    ))
}

/// Not every container runtime has image volumes; what the kubelet says is what is told.
fn image_volume(case: &Case) -> Result<String> {
    let words = [
        "/runner/hook-runner",
        "run",
        "--log",
        "/data/post-hook-output.txt",
        "--",
        "sh",
        "-c",
        "echo from the image volume",
    ];
    let mut pod = manifest::pod("localhost/vote:1.0.0", &words, "volume");
    if let Some(volumes) = pod["volumes"].as_array_mut() {
        volumes.push(json!({"name": "runner", "image": {"reference": "localhost/hook-runner:0.1.0", "pullPolicy": "Never"}}));
    }
    if let Some(mounts) = pod["containers"][0]["volumeMounts"].as_array_mut() {
        mounts.push(json!({"name": "runner", "mountPath": "/runner", "readOnly": true}));
    }
    let values = case.manifests("volume", &[manifest::claim("volume"), manifest::job("volume", &pod, 0)])?;
    case.volume("volume")?;
    let runtime = case.get(&["nodes"])["items"][0]["status"]["nodeInfo"]["containerRuntimeVersion"]
        .as_str()
        .unwrap_or("?")
        .to_owned();
    std::thread::scope(|scope| {
        let helm = scope.spawn(|| {
            case.helm(&["install", "volume", &case.chart("manifests"), "-f", &values, "--timeout", "90s"])
        });
        let refused = until("an end of the Job or a word of the kubelet", 80, || {
            if helm.is_finished() {
                return Some(None);
            }
            let pod = case.pods_of("volume").first().cloned()?;
            let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            let reason = waiting["reason"]
                .as_str()
                .filter(|reason| reason.contains("Error") || reason.contains("ErrImage"))?;
            Some(Some(format!("{reason}: {}", waiting["message"].as_str().unwrap_or_default())))
        });
        if matches!(refused, Ok(Some(_))) {
            // Nothing more will come of it, and Helm would wait for its timeout.
            case.kubectl(&["delete", "job", "volume", "--wait=false"]);
        }
        let ended = helm.join().map_err(|_| "Helm's thread panicked".to_owned())?;
        if let Ok(Some(reason)) = &refused {
            eprintln!("scenario 10: NOT SHOWN: image volumes do not work with {runtime}: {reason}");
            let word = reason.split(':').next().unwrap_or_default();
            return Ok(format!("**not shown**, {runtime} does not mount them ({word})"));
        }
        refused?;
        ensure(ended.ok, || format!("with an image volume: {}", ended.text))?;
        contains("the log", &case.read("volume", "post-hook-output.txt"), &["from the image volume"])?;
        Ok("`deployed`".into())
    })
}
