//! A sidecar that comes late, may not read, has nothing to follow, or cannot reach the API server: what was the matter is in
//! the log, the history and the termination message. What a kubelet rotates away in the first seconds leaves no trace, and is
//! not shown here.

use serde_json::{Value, json};

use crate::cluster::{Case, Result, contains, ensure, until};
use crate::manifest;

/// At once, so that the kubelet rotates them away, which our cluster does at 1 MiB.
const LINES: usize = 30_000;
const CLAIM: &str = "troubles";
/// Of the runner and busybox.
const IMAGE: &str = "localhost/large:1.0.0";

pub(super) fn show(case: &Case) -> Result<String> {
    case.volume(CLAIM)?;
    case.apply(&manifest::claim(CLAIM))?;
    for (account, resources) in [("reads-logs", json!(["pods", "pods/log"])), ("reads-pods", json!(["pods"]))]
    {
        allow(case, account, &resources)?;
    }
    let print = format!(
        "awk 'BEGIN {{ for (i = 1; i <= {LINES}; i++) print \"line \" i \" of a long output, as long as a line of a log often is\" }}'"
    );
    let start = |name: &str, account: &str, hook: &str, sidecar: &str| {
        case.apply(&pod(name, account, &["sh", "-c", hook], sidecar))
    };
    start("late", "reads-logs", &format!("{print}; sleep 40; echo last"), "sleep 25;")?;
    start("no-right", "reads-pods", "sleep 5; echo printed", "")?;
    start("no-api", "reads-logs", "echo printed", "export KUBERNETES_SERVICE_HOST=127.0.0.1;")?;
    let mut no_image = pod("no-image", "reads-logs", &["true"], "");
    no_image["spec"]["containers"][1]["image"] = json!("localhost/nowhere:1");
    no_image["spec"]["containers"][1]["imagePullPolicy"] = json!("IfNotPresent");
    case.apply(&no_image)?;
    case.apply(&pod("no-start", "reads-logs", &["/not/there"], ""))?;

    told(case, "late", 74, &["lines may be missing here", "last\n"], "missing")?;
    told(case, "no-right", 78, &["pods/log"], "resources: [pods, pods/log], verbs: [get]")?;
    told(case, "no-api", 124, &["the API server gives no answer"], "the API server gives no answer")?;
    told(case, "no-image", 124, &["Image"], "localhost/nowhere:1")?;
    told(case, "no-start", 128, &["/not/there"], "/not/there")?;
    Ok("lines rotated away before the sidecar came: 74; without the right to logs 78 with the Role; no API server, no image, no program: told in log, history and termination message".into())
}

/// An account that may get these resources.
fn allow(case: &Case, account: &str, resources: &Value) -> Result<()> {
    let object = |kind: &str, version: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": account}});
    let rbac = "rbac.authorization.k8s.io/v1";
    let mut role = object("Role", rbac);
    role["rules"] = json!([{"apiGroups": [""], "resources": resources, "verbs": ["get"]}]);
    let mut binding = object("RoleBinding", rbac);
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account});
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": account, "namespace": case.namespace}]);
    [object("ServiceAccount", "v1"), role, binding].iter().try_for_each(|object| case.apply(object))
}

/// A hook with a sidecar before which `before` is done. Each has a log of its own on the one claim.
fn pod(name: &str, account: &str, hook: &[&str], before: &str) -> Value {
    let mut spec = manifest::pod(IMAGE, hook, CLAIM);
    spec["automountServiceAccountToken"] = json!(true);
    spec["serviceAccountName"] = json!(account);
    let mut sidecar = spec["containers"][0].clone();
    let limit = if matches!(name, "no-api" | "no-image") { "--timeout 30s" } else { "" };
    let run =
        format!("{before} exec /hook-runner sidecar --container hook --log /data/{name}/log.txt {limit}");
    sidecar["name"] = json!("hook-runner");
    sidecar["command"] = json!(["sh", "-c", run]);
    if let Some(containers) = spec["containers"].as_array_mut() {
        // As the chart has it: it is started first.
        containers.insert(0, sidecar);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// Exit status and termination message of the sidecar.
fn ended(case: &Case, pod: &str) -> Result<(u64, String)> {
    until(&format!("the end of the sidecar of {pod}"), 240, || {
        let statuses = case.get(&["pod", pod])["status"]["containerStatuses"].clone();
        let mine = statuses.as_array()?.iter().find(|status| status["name"] == "hook-runner")?.clone();
        let terminated = &mine["state"]["terminated"];
        let message = terminated["message"].as_str().unwrap_or_default().to_owned();
        Some((terminated["exitCode"].as_u64()?, message))
    })
}

/// Fails unless the sidecar ended with `status`, its log has each of `parts`, and history and termination message have
/// `why`.
fn told(case: &Case, name: &str, status: u64, parts: &[&str], why: &str) -> Result<()> {
    let (found, message) = ended(case, name)?;
    let log = case.read(CLAIM, &format!("{name}/log.txt"));
    ensure(found == status, || {
        format!("the sidecar of {name} ended with {found}: {message}\n{}", end_of(&log))
    })?;
    let shown = end_of(&log);
    for part in parts {
        ensure(log.contains(part), || format!("the log of {name} lacks {part:?}; it ends with:\n{shown}"))?;
    }
    contains(&format!("the termination message of {name}"), &message, &[why])?;
    let index = format!("{name}/.hook-runner/histories/log.txt/index.jsonl");
    contains(&format!("the history of {name}"), &case.read(CLAIM, &index), &[why])
}

fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
