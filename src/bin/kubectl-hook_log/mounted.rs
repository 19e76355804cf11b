//! The pods that have the claim mounted: which containers can read it, and which node has the volume.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::cluster::Cluster;
use crate::failure::{Failure, Request};
use crate::label::is_reader;
use crate::mount::{Mount, mounts};

/// A pod that mounts the claim and has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    pub pod: String,
    pub node: Option<String>,
    pub containers: Vec<Container>,
    /// False for a Job's pod and for a reader, which end on their own: they are not used for reading.
    pub stays: bool,
    /// Made by this program, perhaps in another call.
    pub is_reader: bool,
    pub spec: PodSpec,
}

/// A container that mounts the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub mount: Mount,
    pub running: bool,
}

/// The pods of the namespace that mount the claim.
pub async fn holders(cluster: &Cluster, claim: &str) -> Result<Vec<Holder>, Failure> {
    let pods = cluster.api::<Pod>().list(&ListParams::default()).await.map_err(|error| {
        Request::new("list", "pods", &cluster.namespace)
            .needed(", and one of them may have the volume", "")
            .failure(&error)
    })?;
    Ok(pods.items.iter().filter_map(|pod| holder(pod, claim)).collect())
}

fn holder(pod: &Pod, claim: &str) -> Option<Holder> {
    let spec = pod.spec.as_ref()?;
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let has_claim = spec.volumes.iter().flatten().any(|volume| {
        volume.persistent_volume_claim.as_ref().is_some_and(|source| source.claim_name == claim)
    });
    if !has_claim || matches!(phase, "Succeeded" | "Failed") {
        return None;
    }
    let running = |name: &str| {
        let mut all = status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        all.any(|one| one.name == name && one.state.as_ref().is_some_and(|state| state.running.is_some()))
    };
    let containers = spec.containers.iter().filter_map(|container| {
        let all = mounts(spec, container.volume_mounts.as_deref().unwrap_or_default());
        let mount = all.into_iter().find(|mount| mount.claim == claim)?;
        Some(Container { name: container.name.clone(), mount, running: running(&container.name) })
    });
    Some(Holder {
        pod: pod.name_any(),
        node: spec.node_name.clone(),
        containers: containers.collect(),
        stays: pod.metadata.deletion_timestamp.is_none()
            && !is_reader(pod)
            && !pod.owner_references().iter().any(|owner| owner.kind == "Job"),
        is_reader: is_reader(pod),
        spec: spec.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::holder;

    fn pod(change: fn(&mut Value)) -> Value {
        let mut pod = json!({
            "metadata": {"name": "app"},
            "spec": {
                "nodeName": "one",
                "containers": [
                    {"name": "web", "volumeMounts": [{"name": "content", "mountPath": "/app"}]},
                    {"name": "proxy"}
                ],
                "volumes": [{"name": "content", "persistentVolumeClaim": {"claimName": "data"}}]
            },
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "web", "state": {"running": {}}, "ready": true, "restartCount": 0, "image": "", "imageID": ""}
            ]}
        });
        change(&mut pod);
        pod
    }

    #[test]
    fn a_pod_has_a_claim_until_it_has_ended() {
        // what is changed; whether it mounts the claim, whether it is used for reading, whether its container runs
        type Case = (&'static str, fn(&mut Value), Option<(bool, bool)>);
        let table: [Case; 6] = [
            ("nothing", |_| {}, Some((true, true))),
            (
                "crashing",
                |pod| pod["status"]["containerStatuses"][0]["state"] = json!({"waiting": {}}),
                Some((true, false)),
            ),
            (
                "another claim",
                |pod| pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = json!("other"),
                None,
            ),
            ("ended", |pod| pod["status"]["phase"] = json!("Failed"), None),
            (
                "a Job's",
                |pod| {
                    pod["metadata"]["ownerReferences"] =
                        json!([{"kind": "Job", "name": "x", "uid": "", "apiVersion": ""}]);
                },
                Some((false, true)),
            ),
            (
                "going",
                |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
                Some((false, true)),
            ),
        ];
        for (what, change, expected) in table {
            let pod = serde_json::from_value(pod(change)).expect("a pod");
            let found = holder(&pod, "data");
            assert_eq!(
                found.as_ref().map(|holder| (holder.stays, holder.containers[0].running)),
                expected,
                "{what}"
            );
            if let Some(found) = found {
                assert_eq!(
                    (found.containers.len(), found.containers[0].mount.path.as_str()),
                    (1, "/app"),
                    "{what}"
                );
            }
        }
    }
}
