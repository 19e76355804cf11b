//! The objects that the scenarios have Helm create, where the library chart is not what is shown.

use serde_json::{Value, json};

/// A claim on a volume that `Case::volume` provides.
pub(crate) fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    })
}

/// A pod's spec with one container named `hook`, within Pod Security `restricted`, the claim at /data.
pub(crate) fn pod(image: &str, command: &[&str], claim: &str) -> Value {
    json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            // Else the kubelet changes the modes of the whole tree at each mount, while other pods work in it.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"}
        },
        "containers": [{
            "name": "hook", "image": image, "imagePullPolicy": "Never", "command": command,
            "env": identity(),
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}
            },
            "volumeMounts": [{"name": "content", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}]
        }],
        "volumes": [
            {"name": "content", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}
        ]
    })
}

/// Who runs, from the downward API.
fn identity() -> Value {
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    json!([
        field("HOOK_RUNNER_RUN_ID", "metadata.labels['batch.kubernetes.io/controller-uid']"),
        field("HOOK_RUNNER_JOB", "metadata.labels['batch.kubernetes.io/job-name']"),
        field("HOOK_RUNNER_POD", "metadata.name"),
    ])
}

/// A hook Job around a pod's spec, deleted by Helm when it succeeds.
pub(crate) fn job(name: &str, pod: &Value, retries: u32) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "annotations": {
            "helm.sh/hook": "post-install,post-upgrade",
            "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded"
        }},
        "spec": {
            "backoffLimit": retries, "podReplacementPolicy": "Failed",
            "template": {"metadata": {}, "spec": pod}
        }
    })
}

/// The hook container of a Job, to change.
pub(crate) fn container(job: &mut Value) -> &mut Value {
    &mut job["spec"]["template"]["spec"]["containers"][0]
}
