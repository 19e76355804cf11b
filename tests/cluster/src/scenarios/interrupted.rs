//! What ends a pod from outside, while it copies and while the command runs. What was printed until then must be on
//! the volume, and the next attempt must finish the work.

use serde_json::{Value, json};

use super::statuses;
use crate::NOT_RUN;
use crate::cluster::{Case, Result, command, contains, ensure, until};
use crate::manifest;

/// Marks its first attempt and then does what is to be interrupted; later attempts end well.
fn first_then(interrupted: &str) -> String {
    format!("if mkdir /data/tried; then echo 'printed before'; {interrupted}; exit 1; fi; echo 'second try'")
}

/// One way of being interrupted.
type Part = fn(&Case) -> Result<String>;

pub(super) fn show(case: &Case) -> Result<String> {
    let parts: [(&str, Part); 5] = [
        ("deadline", deadline),
        ("deletion in the copy", deleted_in_copy),
        ("deletion in the command", deleted_in_command),
        ("OOM", out_of_memory),
        ("SIGKILL", killed),
    ];
    // They mostly wait for the Job's back-off, so they run side by side.
    let seen: Vec<Result<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter()
            .map(|(name, part)| {
                scope.spawn(move || {
                    part(case)
                        .map(|seen| format!("{name}: {seen}"))
                        .map_err(|error| format!("{name}: {error}"))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a part panicked".into())))
            .collect()
    });
    let failed: Vec<&str> = seen.iter().filter_map(|part| part.as_ref().err().map(String::as_str)).collect();
    ensure(failed.is_empty(), || failed.join("\n"))?;
    Ok(seen.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// A hook Job that runs `text` in a shell; the log is on the claim of the same name.
fn hook(name: &str, options: &[&str], text: &str) -> Value {
    let mut words = vec!["/hook-runner", "run", "--log", "/data/post-hook-output.txt"];
    words.extend(options);
    words.extend(["--", "sh", "-c", text]);
    manifest::job(name, &manifest::pod("localhost/large:1.0.0", &words, name), 3)
}

/// Has Helm run the Job in the background while `interfere` acts on its first pod.
fn install(case: &Case, name: &str, job: Value, interfere: impl FnOnce() -> Result<()>) -> Result<()> {
    case.volume(name)?;
    let values = case.manifests(name, &[manifest::claim(name), job])?;
    std::thread::scope(|scope| {
        let helm = scope.spawn(|| {
            case.helm_ok(&["install", name, &case.chart("manifests"), "-f", &values, "--timeout", "5m"])
        });
        let interfered = interfere();
        let installed = helm.join().unwrap_or_else(|_| Err("Helm's thread panicked".into()));
        interfered?;
        installed.map(drop)
    })
}

fn printed(case: &Case, claim: &str) -> Result<()> {
    until("the first attempt's output on the volume", 90, || {
        case.read(claim, "post-hook-output.txt").lines().any(|line| line == "printed before").then_some(())
    })
}

/// The name of the Job's first pod.
fn first_pod(case: &Case, job: &str) -> Result<String> {
    until("a pod of the Job", 60, || {
        case.pods_of(job).first().and_then(|pod| pod["metadata"]["name"].as_str().map(String::from))
    })
}

/// One log, what was printed before, the work done by the last attempt.
fn finished(case: &Case, claim: &str) -> Result<String> {
    let log = case.read(claim, "post-hook-output.txt");
    contains("the log", &log, &["printed before", "second try", "attempt 1 of run", "attempt 2 of run"])?;
    let seen = statuses(case, claim);
    ensure(seen.len() == 2 && seen[0] != Some(0) && seen[1] == Some(0), || {
        format!("the attempts ended with {seen:?}")
    })?;
    Ok(case.results(claim))
}

fn deadline(case: &Case) -> Result<String> {
    let name = "deadline";
    let text = first_then("sleep 600");
    let mut job = hook(name, &[], &text);
    job["spec"]["activeDeadlineSeconds"] = json!(20);
    case.volume(name)?;
    let values = case.manifests(name, &[manifest::claim(name), job])?;
    let ended = case.helm(&["install", name, &case.chart("manifests"), "-f", &values, "--timeout", "3m"]);
    ensure(!ended.ok, || format!("Helm reports success: {}", ended.text))?;
    let reason = case.get(&["job", name])["status"]["conditions"].to_string();
    contains("the Job's condition", &reason, &["DeadlineExceeded"])?;
    contains("the log", &case.read(name, "post-hook-output.txt"), &["printed before"])?;
    // The pod's end follows the Job's.
    let gone = || case.pods_of(name).iter().all(|pod| pod["status"]["phase"] != "Running").then_some(());
    until("the pod's end", 60, gone)?;
    let mut job = hook(name, &[], &text);
    job["spec"]["activeDeadlineSeconds"] = json!(170);
    let values = case.manifests(name, &[manifest::claim(name), job])?;
    case.helm_ok(&["upgrade", name, &case.chart("manifests"), "-f", &values, "--timeout", "3m"])?;
    let seen = statuses(case, name);
    ensure(seen.len() == 2 && seen[0] != Some(0) && seen[1] == Some(0), || {
        format!("the attempts ended with {seen:?}")
    })?;
    Ok(case.results(name))
}

fn deleted_in_copy(case: &Case) -> Result<String> {
    let name = "copying";
    let mut job = hook(name, &["--copy", "/app:/data/app"], "echo 'second try'");
    // So slow that the deletion falls into the copy.
    manifest::container(&mut job)["resources"] = json!({"limits": {"cpu": "50m", "memory": "256Mi"}});
    install(case, name, job, || {
        let pod = first_pod(case, name)?;
        until("the first attempt's start", 120, || (!case.history(name).is_empty()).then_some(()))?;
        case.kubectl_ok(&["delete", "pod", &pod, "--wait=false"]).map(drop)
    })?;
    let seen = statuses(case, name);
    ensure(seen.len() == 2 && seen[0] != Some(0) && seen[1] == Some(0), || {
        format!(
            "the attempts ended with {seen:?}; with one attempt the copy was over before the pod was deleted"
        )
    })?;
    if let Some(folder) = case.volume_folder(name) {
        let verified = command(
            &case.place.runner,
            &[
                "verify",
                &folder.join("app").display().to_string(),
                "--state",
                &folder.join(".hook-runner").display().to_string(),
            ],
            None,
        );
        ensure(verified.ok, || format!("verify: {}", verified.text))?;
        let files = std::fs::read_dir(folder.join("app/30")).map_or(0, Iterator::count);
        ensure(files == 100, || format!("{files} of 100 files are in app/30"))?;
    }
    Ok(case.results(name))
}

fn deleted_in_command(case: &Case) -> Result<String> {
    let name = "deleted";
    let text = first_then("sleep 600");
    install(case, name, hook(name, &[], &text), || {
        let pod = first_pod(case, name)?;
        printed(case, name)?;
        case.kubectl_ok(&["delete", "pod", &pod, "--wait=false"]).map(drop)
    })?;
    finished(case, name)
}

fn out_of_memory(case: &Case) -> Result<String> {
    let name = "memory";
    let text = first_then("tail /dev/zero");
    let mut job = hook(name, &[], &text);
    manifest::container(&mut job)["resources"] = json!({"limits": {"memory": "64Mi"}});
    install(case, name, job, || Ok(()))?;
    finished(case, name)
}

fn killed(case: &Case) -> Result<String> {
    let Some(state) = &case.place.state else {
        return Ok(format!("{NOT_RUN} it needs the suite's own cluster, whose node it can reach"));
    };
    let name = "killed";
    let text = first_then("sleep 600");
    install(case, name, hook(name, &[], &text), || {
        let pod = first_pod(case, name)?;
        printed(case, name)?;
        // The kubelet tells the API of the container a little after it runs.
        let id = until("the container's id", 60, || {
            let pod = case.get(&["pod", &pod]);
            let id = pod["status"]["containerStatuses"][0]["containerID"].as_str()?;
            (!id.is_empty()).then(|| id.to_owned())
        })?;
        let id = id.trim_start_matches("containerd://");
        let socket = state.join("containerd.sock").display().to_string();
        let ended = command(
            std::path::Path::new("ctr"),
            &[
                "--address",
                &socket,
                "--namespace",
                "k8s.io",
                "tasks",
                "kill",
                "--all",
                "--signal",
                "SIGKILL",
                id,
            ],
            None,
        );
        ensure(ended.ok, || format!("ctr tasks kill: {}", ended.text))
    })?;
    let seen = finished(case, name)?;
    contains("the history", &seen, &["interrupted"])?;
    contains("the log", &case.read(name, "post-hook-output.txt"), &["interrupted"])?;
    Ok(seen)
}
