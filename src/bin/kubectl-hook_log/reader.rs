//! The life of a reader: create, wait for, keep, remove.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{AttachParams, AttachedProcess, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::Cluster;
use crate::exec::Target;
use crate::failure::{Failure, Request, status_of};
use crate::hook::{Hook, Runner};
use crate::label::{LABEL, LABEL_VALUE};
use crate::manifest;
use crate::mount::Mount;
use crate::mounted::{Container, Holder};
use crate::started::{Start, start};

/// Interval of checks while a reader starts.
const LOOK: Duration = Duration::from_millis(250);
/// Time limit of the removal, so that a silent cluster does not keep the user waiting.
const REMOVAL: Duration = Duration::from_secs(10);

pub struct Reader<'a> {
    cluster: &'a Cluster,
    pods: Api<Pod>,
    pod: String,
    container: String,
    runner: &'a Runner,
    /// Its mount of the volume.
    pub mount: Mount,
    /// Whether the pod is the reader's own and is removed with it.
    own: bool,
}

impl<'a> Reader<'a> {
    /// Creates a pod for the reader.
    pub async fn in_own_pod(
        cluster: &'a Cluster,
        hook: &Hook,
        runner: &'a Runner,
        node: Option<&str>,
        deadline: u32,
    ) -> Result<Self, Failure> {
        let name = format!("hook-log-{}", suffix());
        let manifest = manifest::pod(&manifest::Reader { name: &name, hook, runner, node, deadline });
        let pods = cluster.api::<Pod>();
        let manifest: Pod = serde_json::from_value(manifest)
            .map_err(|error| Failure::refused(format!("the reader's own manifest is wrong: {error}")))?;
        pods.create(&PostParams::default(), &manifest).await.map_err(|error| {
            Request::new("create", "pods", &cluster.namespace)
                .needed(", and no running container has both the volume and hook-runner", "")
                .failure(&error)
        })?;
        let mount = manifest::mount(hook);
        Ok(Self {
            cluster,
            pods,
            pod: name,
            container: manifest::CONTAINER.to_owned(),
            runner,
            mount,
            own: true,
        })
    }

    /// Adds a container to the only pod that may have the volume (`ReadWriteOncePod`).
    pub async fn in_pod_of(
        cluster: &'a Cluster,
        hook: &Hook,
        runner: &'a Runner,
        holder: &Holder,
        target: &Container,
    ) -> Result<Self, Failure> {
        let name = format!("hook-log-{}", suffix());
        let patch = manifest::ephemeral(&name, runner, &holder.spec, target);
        let pods = cluster.api::<Pod>();
        pods.patch_ephemeral_containers(&holder.pod, &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .map_err(|error| {
                let why = format!(", and only the pod {} may have the volume (ReadWriteOncePod)", holder.pod);
                Request::new("patch", "pods/ephemeralcontainers", &cluster.namespace)
                    .needed(&why, "")
                    .failure(&error)
            })?;
        eprintln!(
            "hook-log: only the pod {} may have the volume: it is read by the container {name} in it, which ends with this command and stays in the pod's list",
            holder.pod
        );
        let mount = manifest::whole(hook);
        Ok(Self { cluster, pods, pod: holder.pod.clone(), container: name, runner, mount, own: false })
    }

    /// Waits until it has started; prints the reason for the wait once.
    pub async fn started(&self, limit: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        let mut said = None;
        loop {
            let pod = self
                .pods
                .get(&self.pod)
                .await
                .map_err(|error| Request::new("get", "pods", &self.cluster.namespace).failure(&error))?;
            let waits = match start(&pod, &self.container, &self.runner.image) {
                Start::Running => return Ok(()),
                Start::Never(why) => return Err(Failure::refused(why)),
                Start::Waiting(why) => why,
            };
            if Instant::now() > deadline {
                let why = match waits {
                    Some(why) => why,
                    None => self.last_warning().await,
                };
                return Err(Failure::refused(format!(
                    "the reader did not start within {} s: {why}",
                    limit.as_secs()
                )));
            }
            if let Some(why) = waits.filter(|why| said.as_ref() != Some(why)) {
                eprintln!("hook-log: waiting: {why}");
                said = Some(why);
            }
            sleep(LOOK).await;
        }
    }

    /// The cluster's last warning, such as that another node has the volume.
    async fn last_warning(&self) -> String {
        let of_pod = ListParams::default().fields(&format!("involvedObject.name={},type=Warning", self.pod));
        let events = self.cluster.api::<Event>().list(&of_pod).await;
        let last = events.ok().and_then(|events| events.items.into_iter().next_back()?.message);
        last.unwrap_or_else(|| format!("kubectl describe pod {} says more while it is there", self.pod))
    }

    /// Keeps the reader's stdin open. The reader ends when the returned value is dropped, or when this program is
    /// killed or the network fails. If attaching is not permitted, only the reader's deadline ends it.
    pub async fn hold(&self) -> Option<AttachedProcess> {
        let stdin =
            AttachParams::default().container(&self.container).stdin(true).stdout(false).stderr(false);
        self.pods.attach(&self.pod, &stdin).await.ok()
    }

    /// The container in which its programs are started.
    pub fn target(&self) -> Target<'_> {
        Target {
            pods: &self.pods,
            namespace: &self.cluster.namespace,
            pod: &self.pod,
            container: &self.container,
        }
    }

    /// Removes the reader, and those that earlier, killed calls have left.
    pub async fn remove(self) {
        if !self.own {
            return;
        }
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let removed = timeout(REMOVAL, self.pods.delete(&self.pod, &now)).await;
        let is_gone = match &removed {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => status_of(error).is_some_and(|(code, _)| code == 404),
            Err(_) => false,
        };
        if !is_gone {
            eprintln!(
                "hook-log: the reader pod {} could not be removed: you may not delete pods, or the cluster does not answer; kubectl delete pod {} --namespace {} removes it",
                self.pod, self.pod, self.cluster.namespace
            );
            return;
        }
        let _ = timeout(REMOVAL, self.remove_ended(&now)).await;
    }

    async fn remove_ended(&self, now: &DeleteParams) {
        let readers = ListParams::default().labels(&format!("{LABEL}={LABEL_VALUE}"));
        let Ok(pods) = self.pods.list(&readers).await else { return };
        let ended = pods.items.iter().filter(|pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        });
        for pod in ended {
            let _ = self.pods.delete(&pod.name_any(), now).await;
        }
    }
}

/// Random letters, to make the name unique.
fn suffix() -> String {
    use std::hash::{BuildHasher, RandomState};
    // The hasher has a random seed per process; the API server refuses a name that is taken.
    format!("{:010x}", RandomState::new().hash_one(std::process::id()) >> 24)
}
