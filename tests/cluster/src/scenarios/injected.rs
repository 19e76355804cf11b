//! A mesh's proxy that is injected into the hook's pod: as a native sidecar, which ends with the hook, and as a plain container,
//! which the hook tells to quit in `finally`. Injected as a mesh does it, while the API server admits the pod.

use serde_json::{Value, json};

use super::{gone, vote};
use crate::cluster::{Case, Result, contains};

pub(super) fn show(case: &Case) -> Result<String> {
    let native = "trap 'exit 0' TERM; while :; do sleep 1; done";
    let quits = "nc -l -p 15020";
    let policies = [
        policy(case, "native", "initContainers", "restartPolicy: 'Always',", native),
        policy(case, "plain", "containers", "", quits),
    ];
    let shown = policies.iter().flatten().try_for_each(|object| case.apply(object)).and_then(|()| both(case));
    for object in policies.iter().flatten() {
        let kind = object["kind"].as_str().unwrap_or_default();
        case.kubectl(&["delete", kind, object["metadata"]["name"].as_str().unwrap_or_default()]);
    }
    shown?;
    Ok("a native sidecar ends with the hook; a plain one is told to quit by the hook's `finally`: `deployed`, Jobs gone, logs kept".into())
}

fn both(case: &Case) -> Result<()> {
    // A policy is in force a moment after it was made: a pod that is tried tells when.
    for kind in ["native", "plain"] {
        crate::cluster::until(&format!("the policy {kind} in force"), 60, || {
            let mut spec = crate::manifest::pod("localhost/large:1.0.0", &["true"], "none");
            spec["initContainers"] = spec["containers"].clone();
            spec["initContainers"][0]["name"] = json!("first");
            let metadata = json!({"name": "probe", "labels": {"proxy": kind}});
            let probe = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
            let path = case.values("probe", &probe).ok()?;
            let ended = case.kubectl(&["apply", "--dry-run=server", "-o", "json", "-f", &path]);
            ended.text.contains("\"proxy\",").then_some(())
        })?;
    }
    for (kind, quit) in
        [("native", "true"), ("plain", "until echo quit | nc 127.0.0.1 15020; do sleep 1; done")]
    {
        let release = format!("proxy-{kind}");
        let mut hook = json!({
            "podLabels": {"proxy": kind}, "copy": [], "wait": [], "scriptFile": "", "script": "",
            "steps": [
                {"copy": {"from": "/app", "to": "/data"}},
                {"exec": {"command": ["sh", "-c", "echo beside a proxy"]}}
            ]
        });
        hook["finally"] = json!([{"exec": {"command": ["sh", "-c", quit]}}]);
        let values = case.values(&release, &vote("localhost/vote:1.0.0", &hook))?;
        case.volume(&release)?;
        case.helm_ok(&["install", &release, &case.chart("vote"), "-f", &values, "--timeout", "5m"])?;
        gone(case, &format!("{release}-post-task"))?;
        contains("the log", &case.read(&release, "post-hook-output.txt"), &["beside a proxy", "succeeded"])?;
    }
    Ok(())
}

/// A policy that adds the container `proxy` to pods with the label `proxy: KIND` of this namespace, and its binding.
fn policy(case: &Case, kind: &str, list: &str, more: &str, command: &str) -> [Value; 2] {
    let name = format!("{}-{kind}", case.namespace);
    let kind_of = format!("Object.spec.{list}");
    // A JSON patch: an apply configuration may not set a command, which is an atomic list.
    let expression = format!(
        "[JSONPatch{{op: 'add', path: '/spec/{list}/-', value: {kind_of}{{name: 'proxy', image: 'localhost/large:1.0.0', \
         imagePullPolicy: 'Never', {more} command: ['sh', '-c', {command:?}], \
         securityContext: {kind_of}.securityContext{{allowPrivilegeEscalation: false, \
         capabilities: {kind_of}.securityContext.capabilities{{drop: ['ALL']}}}}}}}}]"
    );
    [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail", "reinvocationPolicy": "Never",
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]},
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]
            }
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "matchResources": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": case.namespace}},
                "objectSelector": {"matchLabels": {"proxy": kind}}
            }}
        }),
    ]
}
