//! A tree copied by an Indexed Job of four pods, one of which is killed; and by 64 processes on this machine.

use std::path::Path;

use serde_json::json;

use crate::cluster::{Case, Result, command, contains, ensure, until};
use crate::manifest;

pub(super) fn show(case: &Case) -> Result<String> {
    let words = [
        "/hook-runner",
        "run",
        "--copy",
        "/app:/data/app",
        "--shard",
        "auto",
        "--log",
        "/data/post-hook-output.txt",
    ];
    let mut job = manifest::job("shards", &manifest::pod("localhost/large:1.0.0", &words, "shards"), 4);
    job["spec"]["completionMode"] = json!("Indexed");
    job["spec"]["completions"] = json!(4);
    job["spec"]["parallelism"] = json!(4);
    let container = manifest::container(&mut job);
    // So little that the copy takes seconds, and one of them is seen while it runs.
    container["resources"] = json!({"limits": {"cpu": "20m", "memory": "256Mi"}});
    if let Some(environment) = container["env"].as_array_mut() {
        environment.push(json!({"name": "HOOK_RUNNER_COMPLETIONS", "value": "4"}));
    }
    let values = case.manifests("shards", &[manifest::claim("shards"), job])?;
    case.volume("shards")?;
    std::thread::scope(|scope| {
        let helm = scope.spawn(|| {
            case.helm_ok(&["install", "shards", &case.chart("manifests"), "-f", &values, "--timeout", "5m"])
        });
        let killed = until("a running pod", 120, || {
            let pods = case.pods_of("shards");
            let pod = pods.iter().find(|pod| pod["status"]["phase"] == "Running")?;
            pod["metadata"]["name"].as_str().map(String::from)
        })
        .and_then(|pod| case.kubectl_ok(&["delete", "pod", &pod, "--grace-period=1", "--wait=false"]));
        let installed = helm.join().unwrap_or_else(|_| Err("Helm's thread panicked".into()));
        killed?;
        installed
    })?;
    super::gone(case, "shards")?;
    if let Some(folder) = case.volume_folder("shards") {
        complete(case, &folder.display().to_string())?;
    } else {
        contains("the last file", &case.read("shards", "app/30/100"), &["file 100 of folder 30"])?;
    }
    simulate(case)?;
    Ok("4 pods, one deleted while it copied: nothing lost, one manifest, `verify` passes; the same with 64 local processes".into())
}

/// Every file is there, and the runner's own `verify` agrees.
fn complete(case: &Case, folder: &str) -> Result<()> {
    let app = format!("{folder}/app");
    for number in 1..=30 {
        let files = std::fs::read_dir(format!("{app}/{number:02}")).map_or(0, Iterator::count);
        ensure(files == 100, || format!("{files} of 100 files are in {app}/{number:02}"))?;
    }
    let verified =
        command(&case.place.runner, &["verify", &app, "--state", &format!("{folder}/.hook-runner")], None);
    ensure(verified.ok, || format!("verify: {}", verified.text))
}

/// 64 processes with one share each, all at once.
fn simulate(case: &Case) -> Result<()> {
    let root = std::env::temp_dir().join(format!("hook-runner-shards-{}", case.namespace));
    let _ = std::fs::remove_dir_all(&root);
    let source = root.join("source");
    let make = |error: std::io::Error| format!("{}: {error}", source.display());
    for number in 1..=30 {
        let folder = source.join(format!("{number:02}"));
        std::fs::create_dir_all(&folder).map_err(make)?;
        for file in 1..=100 {
            std::fs::write(folder.join(file.to_string()), format!("file {file} of folder {number}\n"))
                .map_err(make)?;
        }
    }
    let volume = root.join("volume");
    std::fs::create_dir_all(&volume).map_err(make)?;
    let destination = volume.join("app").display().to_string();
    let state = volume.join(".hook-runner").display().to_string();
    let source = source.display().to_string();
    let ends: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64)
            .map(|index| {
                let shard = format!("{index}/64");
                let (source, destination, state) = (&source, &destination, &state);
                scope.spawn(move || {
                    let runner = case.place.runner.display().to_string();
                    command(
                        Path::new("env"),
                        // As in the Job: one run, of which each copies a share.
                        &[
                            "HOOK_RUNNER_RUN_ID=simulation",
                            &runner,
                            "copy",
                            source,
                            destination,
                            "--state",
                            state,
                            "--shard",
                            &shard,
                        ],
                        None,
                    )
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let failed: Vec<&str> = ends.iter().filter(|ended| !ended.ok).map(|ended| ended.text.trim()).collect();
    ensure(ends.len() == 64 && failed.is_empty(), || {
        format!("{} of 64 processes failed: {}", failed.len(), failed.join("\n"))
    })?;
    complete(case, &volume.display().to_string())?;
    std::fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))
}
