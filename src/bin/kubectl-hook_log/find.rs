//! Finds the hook to read: by the labels of the library chart, else in Helm's records.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::api::ListParams;
use kube::{Error, ResourceExt};

use crate::arguments::Arguments;
use crate::cluster::Cluster;
use crate::failure::{Failure, Request};
use crate::helm_release;
use crate::hook::{Hook, Runner};

/// The hook to read.
pub async fn hook(cluster: &Cluster, arguments: &Arguments) -> Result<Hook, Failure> {
    let mut hooks = by_labels(cluster, &arguments.release).await?;
    let refused = match from_helm(cluster, &arguments.release).await {
        Ok(kept) => {
            let known: Vec<String> = hooks.iter().map(|hook| hook.name.clone()).collect();
            hooks.extend(kept.into_iter().filter(|hook| !known.contains(&hook.name)));
            None
        }
        Err(failure) => Some(failure),
    };
    if hooks.is_empty() {
        hooks = labelled_claims(cluster, &arguments.release).await;
    }
    if let Some(claim) = &arguments.claim {
        hooks.retain(|hook| hook.claim == *claim);
        if hooks.is_empty() {
            hooks.push(Hook { claim: claim.clone(), ..Hook::default() });
        }
    }
    if let (true, Some(failure)) = (hooks.is_empty(), refused) {
        return Err(failure);
    }
    let mut hook = choose(hooks, arguments.hook.as_deref())
        .map_err(|why| Failure::wrong(why.sentence(&arguments.release, &cluster.namespace)))?;
    if let Some(log) = &arguments.log {
        log.trim_start_matches('/').clone_into(&mut hook.log);
    }
    if let Some(image) = &arguments.image {
        hook.runner = Some(Runner::of_image(image));
    }
    Ok(hook)
}

/// The release's hook Jobs that still exist, running or failed.
async fn by_labels(cluster: &Cluster, release: &str) -> Result<Vec<Hook>, Failure> {
    match cluster.api::<Job>().list(&labelled(release)).await {
        Ok(jobs) => Ok(jobs.items.iter().filter_map(helm_release::of_job).collect()),
        // A user who may not list Jobs may still read Helm's records.
        Err(Error::Api(_)) => Ok(Vec::new()),
        Err(error) => Err(Request::new("list", "jobs", &cluster.namespace).failure(&error)),
    }
}

/// The hooks of the release's last revision. Other revisions' Secrets are not fetched: each may have a megabyte.
async fn from_helm(cluster: &Cluster, release: &str) -> Result<Vec<Hook>, Failure> {
    let kept = ListParams::default().labels(&format!("owner=helm,name={release}"));
    let secrets = cluster.api::<Secret>();
    let all = secrets.list_metadata(&kept).await.map_err(|error| unreadable(cluster, "list", &error))?;
    if let Some(last) = last_revision(&all.items) {
        let secret = secrets.get(&last).await.map_err(|error| unreadable(cluster, "get", &error))?;
        let data = secret.data.unwrap_or_default().remove("release").map(|data| data.0);
        return Ok(data.and_then(|data| helm_release::hooks(&data)).unwrap_or_default());
    }
    // HELM_DRIVER=configmap
    let maps = cluster.api::<ConfigMap>();
    let Ok(all) = maps.list_metadata(&kept).await else { return Ok(Vec::new()) };
    let Some(last) = last_revision(&all.items) else { return Ok(Vec::new()) };
    let data = maps.get(&last).await.ok().and_then(|map| map.data.unwrap_or_default().remove("release"));
    Ok(data.and_then(|data| helm_release::hooks(data.as_bytes())).unwrap_or_default())
}

fn last_revision<K: ResourceExt>(revisions: &[K]) -> Option<String> {
    let number = |one: &&K| one.labels().get("version")?.parse::<u64>().ok();
    revisions.iter().max_by_key(number).map(ResourceExt::name_any)
}

fn unreadable(cluster: &Cluster, verb: &str, error: &Error) -> Failure {
    Request::new(verb, "secrets", &cluster.namespace)
        .needed(", and Helm keeps in one which claim the log is on", ", or name the claim: --claim NAME")
        .failure(error)
}

/// The claims that the library chart made for hooks of the release.
async fn labelled_claims(cluster: &Cluster, release: &str) -> Vec<Hook> {
    let claims = cluster.api::<PersistentVolumeClaim>().list(&labelled(release)).await;
    claims.map(|claims| claims.items.iter().filter_map(Hook::of_claim).collect()).unwrap_or_default()
}

fn labelled(release: &str) -> ListParams {
    ListParams::default().labels(&format!("app.kubernetes.io/instance={release},hook-runner/hook"))
}

/// Why no hook can be chosen.
#[derive(Debug, PartialEq, Eq)]
enum NotOne {
    NoHook,
    NotAmong(String, Vec<String>),
    Several(Vec<String>),
}

impl NotOne {
    fn sentence(&self, release: &str, namespace: &str) -> String {
        match self {
            Self::NoHook => format!(
                "the release {release} has no hook that keeps a log on a claim in the namespace {namespace}; look at helm list --all --namespace {namespace}, or name the claim: --claim NAME"
            ),
            Self::NotAmong(wanted, names) => format!(
                "the release {release} has no hook {wanted} that keeps a log; it has {}",
                names.join(", ")
            ),
            Self::Several(names) => format!(
                "the hooks of the release {release} keep their logs in several places; choose one: --hook {}",
                names.join(", --hook ")
            ),
        }
    }
}

/// The place to read: that of the hook asked for, of the only hook, or the folder in which all hooks have their logs.
fn choose(mut hooks: Vec<Hook>, wanted: Option<&str>) -> Result<Hook, NotOne> {
    let names: Vec<String> = hooks.iter().map(|hook| hook.name.clone()).collect();
    if let Some(wanted) = wanted {
        hooks.retain(|hook| hook.name == wanted);
    }
    let mut all = hooks.into_iter();
    let mut chosen = match (all.next(), wanted) {
        (Some(first), _) => first,
        (None, Some(wanted)) if !names.is_empty() => return Err(NotOne::NotAmong(wanted.to_owned(), names)),
        (None, _) => return Err(NotOne::NoHook),
    };
    for other in all {
        let same_folder = folder(&other.log) == folder(&chosen.log);
        if other.claim != chosen.claim || other.sub_path != chosen.sub_path || !same_folder {
            return Err(NotOne::Several(names));
        }
        if other.log != chosen.log {
            // Several hooks: the path ends with `/` and stands for the folder.
            chosen.log = format!("{}/", folder(&chosen.log));
        }
        let more = other.destinations.into_iter().filter(|path| !chosen.destinations.contains(path));
        chosen.destinations.extend(more.collect::<Vec<_>>());
    }
    Ok(chosen)
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::{NotOne, choose};
    use crate::hook::Hook;

    fn hook(name: &str, claim: &str, log: &str) -> Hook {
        Hook { name: name.into(), claim: claim.into(), log: log.into(), ..Hook::default() }
    }

    #[test]
    fn several_hooks_are_read_together_where_their_logs_are_in_one_folder() {
        let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let (a, b) = (hook("a", "data", "logs/a.txt"), hook("b", "data", "logs/b.txt"));
        let elsewhere = hook("c", "data", "c.txt");
        let table = [
            (vec![a.clone()], None, Ok("logs/a.txt")),
            (vec![a.clone(), b.clone()], None, Ok("logs/")),
            (vec![a.clone(), b.clone()], Some("b"), Ok("logs/b.txt")),
            (vec![a.clone(), a.clone()], None, Ok("logs/a.txt")),
            (vec![elsewhere.clone(), hook("d", "data", "d.txt")], None, Ok("/")),
            (vec![], Some("b"), Err(NotOne::NoHook)),
            (vec![a.clone()], Some("b"), Err(NotOne::NotAmong("b".into(), names(&["a"])))),
            (vec![a.clone(), elsewhere], None, Err(NotOne::Several(names(&["a", "c"])))),
            (vec![a, hook("b", "other", "logs/b.txt")], None, Err(NotOne::Several(names(&["a", "b"])))),
        ];
        for (hooks, wanted, expected) in table {
            let found = choose(hooks.clone(), wanted).map(|hook| hook.log);
            assert_eq!(found, expected.map(str::to_owned), "{hooks:?} {wanted:?}");
        }
    }
}
