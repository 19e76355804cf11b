//! The reader as Kubernetes objects: a pod of its own, or a container in the only pod that may have the volume. Pure.
//!
//! It satisfies Pod Security `restricted` and mounts the volume read-only. The program waits for the end of its stdin,
//! which the plugin keeps open: when the plugin ends for any reason, so does the reader.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};

use crate::hook::{Hook, Runner};
use crate::label::{LABEL, LABEL_VALUE};
use crate::mount::Mount;
use crate::mounted::Container;

/// The container of a reader pod.
pub const CONTAINER: &str = "reader";
/// The mount point of the volume in a reader.
const VOLUME: &str = "/volume";
/// The user of our image; used instead of root.
const NOBODY: i64 = 65532;

/// The input for a reader pod.
pub struct Reader<'a> {
    pub name: &'a str,
    pub hook: &'a Hook,
    pub runner: &'a Runner,
    /// The node with the volume, if the volume can only be on one.
    pub node: Option<&'a str>,
    /// Seconds after which it ends in any case.
    pub deadline: u32,
}

/// The reader pod's mount: the same folder of the volume as the hook's.
pub fn mount(hook: &Hook) -> Mount {
    Mount { claim: hook.claim.clone(), path: VOLUME.into(), sub_path: hook.sub_path.clone() }
}

/// The reader pod.
pub fn pod(reader: &Reader<'_>) -> Value {
    let spec = &reader.hook.spec;
    let mut container = container(CONTAINER, reader.runner, user(spec));
    container["volumeMounts"] = json!([{"name": "volume", "mountPath": VOLUME, "readOnly": true}]);
    if !reader.hook.sub_path.is_empty() {
        container["volumeMounts"][0]["subPath"] = json!(reader.hook.sub_path);
    }
    container["resources"] = json!({
        "requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}
    });
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": reader.name, "labels": {LABEL: LABEL_VALUE, "app.kubernetes.io/name": "hook-log"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": reader.deadline,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": security(spec),
            "containers": [container],
            // Read-only here too: otherwise the node would first change all files on the volume to the fsGroup.
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": reader.hook.claim, "readOnly": true}}]
        }
    });
    let of_hook = [
        ("imagePullSecrets", json!(spec.image_pull_secrets)),
        ("tolerations", json!(spec.tolerations)),
        ("nodeSelector", json!(spec.node_selector)),
        ("runtimeClassName", json!(spec.runtime_class_name)),
        // Bypasses the scheduler: a node that takes no new pods may still have the volume.
        ("nodeName", json!(reader.node)),
    ];
    for (field, value) in of_hook.into_iter().filter(|(_, value)| !value.is_null()) {
        pod["spec"][field] = value;
    }
    pod
}

/// The patch that adds a reader to a pod as an ephemeral container beside `target`, which has the volume. An ephemeral
/// container cannot mount a folder of a volume, so it mounts the whole.
pub fn ephemeral(name: &str, runner: &Runner, spec: &PodSpec, target: &Container) -> Value {
    let mut container = container(name, runner, user(spec));
    let mounts = spec.containers.iter().find(|one| one.name == target.name);
    let volume = mounts
        .into_iter()
        .flat_map(|one| one.volume_mounts.iter().flatten())
        .find(|mount| mount.mount_path == target.mount.path);
    container["volumeMounts"] =
        json!([{"name": volume.map(|mount| mount.name.clone()), "mountPath": VOLUME, "readOnly": true}]);
    container["targetContainerName"] = json!(target.name);
    json!({"spec": {"ephemeralContainers": [container]}})
}

/// The mount of an ephemeral container: the whole volume.
pub fn whole(hook: &Hook) -> Mount {
    Mount { claim: hook.claim.clone(), path: VOLUME.into(), sub_path: String::new() }
}

fn container(name: &str, runner: &Runner, user: Value) -> Value {
    let mut container = json!({
        "name": name,
        "image": runner.image,
        "command": [runner.program, "logs", "-"],
        "stdin": true,
        "stdinOnce": true,
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}
        }
    });
    if let Some(policy) = &runner.pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    for (key, value) in user.as_object().into_iter().flatten() {
        container["securityContext"][key] = value.clone();
    }
    container
}

/// The hook's user and group. Instead of root, only its group, which may read the log.
fn user(spec: &PodSpec) -> Value {
    let pod = spec.security_context.as_ref();
    let container = spec.containers.first().and_then(|one| one.security_context.as_ref());
    let user = container.and_then(|one| one.run_as_user).or(pod.and_then(|pod| pod.run_as_user));
    let group = container.and_then(|one| one.run_as_group).or(pod.and_then(|pod| pod.run_as_group));
    let mut ids = json!({});
    match (user, group) {
        (Some(0), group) => ids = json!({"runAsUser": NOBODY, "runAsGroup": group.unwrap_or(0)}),
        (Some(user), Some(group)) => ids = json!({"runAsUser": user, "runAsGroup": group}),
        (Some(user), None) => ids["runAsUser"] = json!(user),
        (None, _) => {}
    }
    ids
}

/// The pod's security context: the hook's groups and `SELinux` label.
fn security(spec: &PodSpec) -> Value {
    let mut context = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    if let Some(of_hook) = &spec.security_context {
        let kept = [
            ("fsGroup", json!(of_hook.fs_group)),
            ("supplementalGroups", json!(of_hook.supplemental_groups)),
            ("seLinuxOptions", json!(of_hook.se_linux_options)),
        ];
        for (field, value) in kept.into_iter().filter(|(_, value)| !value.is_null()) {
            context[field] = value;
        }
        if of_hook.fs_group.is_some() {
            context["fsGroupChangePolicy"] = json!("OnRootMismatch");
        }
    }
    context
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Pod, PodSpec};
    use serde_json::{Value, json};

    use super::{Reader, ephemeral, pod};
    use crate::hook::{Hook, Runner};
    use crate::label::is_reader;
    use crate::mount::Mount;
    use crate::mounted::Container;

    fn spec(security: &Value) -> PodSpec {
        let spec = json!({
            "securityContext": security, "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"name": "web", "volumeMounts": [{"name": "content", "mountPath": "/app", "subPath": "x"}]}]
        });
        serde_json::from_value(spec).expect("a pod's spec")
    }

    fn reader(security: &Value, node: Option<&str>) -> Value {
        let hook =
            Hook { claim: "data".into(), sub_path: "shop".into(), spec: spec(security), ..Hook::default() };
        pod(&Reader {
            name: "hook-log-vote",
            hook: &hook,
            runner: &Runner::of_image("runner:1"),
            node,
            deadline: 3600,
        })
    }

    /// What Pod Security `restricted` asks of a pod (kubernetes.io/docs/concepts/security/pod-security-standards).
    fn restricted(pod: &Value, container: &Value) -> bool {
        let own = &container["securityContext"];
        own["allowPrivilegeEscalation"] == false
            && own["capabilities"]["drop"] == json!(["ALL"])
            && own["runAsNonRoot"] == true
            && own["seccompProfile"]["type"] == "RuntimeDefault"
            && own["runAsUser"] != 0
            && pod["spec"]["securityContext"]["runAsUser"] != 0
            && pod["spec"]["volumes"]
                .as_array()
                .is_none_or(|all| all.iter().all(|one| one["persistentVolumeClaim"].is_object()))
    }

    #[test]
    fn a_reader_is_restricted_and_cannot_write_whatever_the_hook_is() {
        // the hook's pod; the reader's user and group
        let table = [
            (json!({}), json!(null), json!(null)),
            (json!({"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000}), json!(1000), json!(2000)),
            (json!({"runAsUser": 1000}), json!(1000), json!(null)),
            (json!({"runAsUser": 0, "runAsNonRoot": false}), json!(65532), json!(0)),
        ];
        for (security, user, group) in table {
            let pod = reader(&security, None);
            let container = &pod["spec"]["containers"][0];
            assert!(restricted(&pod, container), "{pod}");
            assert_eq!(
                (&container["securityContext"]["runAsUser"], &container["securityContext"]["runAsGroup"]),
                (&user, &group)
            );
            assert_eq!(pod["spec"]["securityContext"]["fsGroup"], security["fsGroup"]);
            assert_eq!(
                container["volumeMounts"],
                json!([{"name": "volume", "mountPath": "/volume", "readOnly": true, "subPath": "shop"}])
            );
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert!(pod["spec"].get("nodeName").is_none());
            assert!(is_reader(&serde_json::from_value::<Pod>(pod).expect("a pod")));
        }
    }

    #[test]
    fn a_reader_goes_to_the_node_that_has_the_volume_with_the_hooks_secrets() {
        let pod = reader(&json!({}), Some("one"));
        assert_eq!(pod["spec"]["nodeName"], "one");
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
        assert_eq!(pod["spec"]["activeDeadlineSeconds"], 3600);
    }

    #[test]
    fn an_ephemeral_reader_has_the_whole_volume_of_its_target() {
        let mount = Mount { claim: "data".into(), path: "/app".into(), sub_path: "x".into() };
        let target = Container { name: "web".into(), mount, running: true };
        let patch =
            ephemeral("hook-log-1", &Runner::of_image("runner:1"), &spec(&json!({"runAsUser": 7})), &target);
        let container = &patch["spec"]["ephemeralContainers"][0];
        assert!(restricted(&json!({"spec": {}}), container), "{patch}");
        assert_eq!(
            container["volumeMounts"],
            json!([{"name": "content", "mountPath": "/volume", "readOnly": true}])
        );
        assert_eq!(container["targetContainerName"], "web");
        assert_eq!(container["securityContext"]["runAsUser"], 7);
    }
}
