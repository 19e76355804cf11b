//! A reading from beginning to end.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use tokio::time::timeout;

use crate::arguments::Arguments;
use crate::cluster::Cluster;
use crate::exec::Target;
use crate::failure::{Failure, status_of};
use crate::find;
use crate::hook::{Hook, Runner};
use crate::interrupt::Interrupt;
use crate::mounted::{Container, Holder, holders};
use crate::reader::Reader;
use crate::reading::Reading;

/// Seconds after which a reader ends in any case: one that reads, and one that follows.
const DEADLINE: u32 = 3600;
const DEADLINE_OF_FOLLOWING: u32 = 24 * 3600;

/// What is known before reading.
struct Found {
    cluster: Cluster,
    hook: Hook,
    /// The claim's access modes.
    modes: Vec<String>,
    holders: Vec<Holder>,
}

/// Reads what is asked for; returns the exit status of the reading command.
pub async fn read(arguments: Arguments) -> Result<u8, Failure> {
    let mut interrupt = Interrupt::listen();
    let reading = Reading::of(&arguments.reading)?;
    let found = tokio::select! {
        found = look(&arguments) => found?,
        status = interrupt.comes() => return Ok(status),
    };
    // A following command could outlive this program, and in a foreign pod nobody would end it.
    if !reading.follows() {
        let status = tokio::select! {
            status = through_container(&found, &reading) => status?,
            status = interrupt.comes() => Some(status),
        };
        if let Some(status) = status {
            return Ok(status);
        }
    }
    let hook = with_pod_of_holder(&found);
    let runner = hook.runner.as_ref().ok_or_else(|| no_image(&arguments.release))?;
    let limit = Duration::from_secs(arguments.start_timeout);
    // Not cancelled by an interruption: a pod that was requested must also be removed.
    let reader = match timeout(limit, make(&found, &hook, runner, &reading)).await {
        Ok(made) => made?,
        Err(_) => return Err(Failure::refused("the cluster does not answer; try kubectl get pods")),
    };
    let status = tokio::select! {
        status = through_reader(&reader, &hook, runner, &reading, limit) => status,
        status = interrupt.comes() => Ok(status),
    };
    tokio::select! {
        () = reader.remove() => status,
        status = interrupt.comes() => Ok(status),
    }
}

async fn look(arguments: &Arguments) -> Result<Found, Failure> {
    let cluster = Cluster::connect(arguments).await?;
    let hook = find::hook(&cluster, arguments).await?;
    let modes = access_modes(&cluster, &hook.claim).await?;
    let holders = holders(&cluster, &hook.claim).await?;
    Ok(Found { cluster, hook, modes, holders })
}

/// Makes a reader where the volume is.
async fn make<'a>(
    found: &'a Found,
    hook: &Hook,
    runner: &'a Runner,
    reading: &Reading,
) -> Result<Reader<'a>, Failure> {
    let Found { cluster, modes, holders, .. } = found;
    let only = |mode: &str| modes.iter().all(|one| one == mode);
    if let Some((holder, target)) = the_one_pod(holders).filter(|_| only("ReadWriteOncePod")) {
        return Reader::in_pod_of(cluster, hook, runner, holder, target).await;
    }
    let node = holders.iter().find_map(|holder| holder.node.as_deref()).filter(|_| only("ReadWriteOnce"));
    let deadline = if reading.follows() { DEADLINE_OF_FOLLOWING } else { DEADLINE };
    Reader::in_own_pod(cluster, hook, runner, node, deadline).await
}

/// The claim's access modes. Also checks that the claim exists.
async fn access_modes(cluster: &Cluster, claim: &str) -> Result<Vec<String>, Failure> {
    let namespace = &cluster.namespace;
    match cluster.api::<PersistentVolumeClaim>().get(claim).await {
        Ok(found) => {
            let is_bound = found.status.and_then(|status| status.phase).is_none_or(|phase| phase == "Bound");
            if !is_bound {
                return Err(Failure::wrong(format!(
                    "the claim {claim} has no volume yet, so no hook has written to it; kubectl describe pvc {claim} --namespace {namespace} says what it waits for"
                )));
            }
            Ok(found.spec.and_then(|spec| spec.access_modes).unwrap_or_default())
        }
        Err(error) if status_of(&error).is_some_and(|(code, _)| code == 404) => Err(Failure::wrong(format!(
            "the claim {claim} is not there in the namespace {namespace}, and the log was on it; was the release uninstalled?"
        ))),
        // A user who may not look at the claim may still read through it. Assume that it is on one node.
        Err(_) => Ok(vec!["ReadWriteOnce".to_owned()]),
    }
}

/// Reads through an existing container with both the volume and the runner; `None` if there is none.
async fn through_container(found: &Found, reading: &Reading) -> Result<Option<u8>, Failure> {
    let Found { cluster, hook, holders, .. } = found;
    let pods = cluster.api::<Pod>();
    let mut programs = vec!["/hook-runner", "/runner/hook-runner"];
    programs.extend(
        hook.runner.iter().map(|runner| runner.program.as_str()).filter(|one| *one != "/hook-runner"),
    );
    for holder in holders.iter().filter(|holder| holder.stays) {
        for container in holder.containers.iter().filter(|container| container.running) {
            let target = Target {
                pods: &pods,
                namespace: &cluster.namespace,
                pod: &holder.pod,
                container: &container.name,
            };
            for program in &programs {
                let Some(lines) = reading.command_lines(program, hook, &container.mount) else { break };
                // A user who may not exec here may still create a pod.
                match target.has(program).await {
                    Ok(true) => return run_all(&target, &lines).await.map(Some),
                    Ok(false) => {}
                    Err(_) => break,
                }
            }
        }
    }
    Ok(None)
}

async fn through_reader(
    reader: &Reader<'_>,
    hook: &Hook,
    runner: &Runner,
    reading: &Reading,
    limit: Duration,
) -> Result<u8, Failure> {
    reader.started(limit).await?;
    let _held = reader.hold().await;
    let lines = reading.command_lines(&runner.program, hook, &reader.mount).ok_or_else(|| {
        Failure::wrong(format!(
            "{} is outside of the folder {} of the volume, which the hook mounts",
            hook.log, hook.sub_path
        ))
    })?;
    run_all(&reader.target(), &lines).await
}

/// Runs them one after the other; returns the highest status.
async fn run_all(target: &Target<'_>, lines: &[Vec<String>]) -> Result<u8, Failure> {
    let mut highest = 0;
    for words in lines {
        highest = highest.max(target.run(words).await?);
    }
    Ok(highest)
}

/// If only the claim of the hook is known, the reader gets the user of a pod that has the volume.
fn with_pod_of_holder(found: &Found) -> Hook {
    let mut hook = found.hook.clone();
    if let (true, Some(holder)) = (hook.spec.containers.is_empty(), found.holders.first()) {
        hook.spec = holder.spec.clone();
    }
    hook
}

/// The only pod that may have the volume, and its container with the volume.
fn the_one_pod(holders: &[Holder]) -> Option<(&Holder, &Container)> {
    holders
        .iter()
        .find_map(|holder| Some((holder, holder.containers.first()?)).filter(|(holder, _)| !holder.is_reader))
}

fn no_image(release: &str) -> Failure {
    Failure::wrong(format!(
        "no container that has the volume has hook-runner, and the release {release} does not say which image has it; name one: --image"
    ))
}
