//! Six hooks as well-known charts have them, written with the library chart: certificates, migrations, set-ups. Their values are
//! those that the chart's own tests render; the programs of their images are stood for by `images/hooks`.

use serde_json::{Value, json};

use super::gone;
use crate::cluster::{Case, Result, contains, ensure};
use crate::manifest;

pub(super) fn show(case: &Case) -> Result<String> {
    // One of the six asks for root, which `restricted` does not let in.
    case.enforce("baseline")?;
    certificates(case)?;
    workflow(case)?;
    gateway_and_dashboard(case)?;
    buckets(case)?;
    Ok("certificate made before the release and patched into a webhook by accounts of their own; a migration with its secret redacted; a set-up as root; migrations that wait; buckets beside a native sidecar: all `deployed`".into())
}

/// Installs the chart of a hook as `release`.
fn install(case: &Case, release: &str, hook: &str) -> Result<String> {
    let path = case.place.charts.join("hooks").join(format!("{hook}.yaml"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    // The images are written plainly where they are not the hook's own.
    let text = text
        .replace("registry.example/superset:1.0.0", "localhost/hooks:1.0.0")
        .replace("registry.example/minio/mc:RELEASE.2025-08-13", "localhost/hooks:1.0.0");
    let values = case.values(&format!("{hook}-values"), &json!({}))?;
    std::fs::write(&values, text).map_err(|error| format!("{values}: {error}"))?;
    let over = json!({"hook-runner": {
        "image": "localhost/hooks:1.0.0", "imagePullPolicy": "Never",
        "runner": {"image": "localhost/hook-runner:0.1.0"}
    }});
    let over = case.values(&format!("{hook}-images"), &over)?;
    case.helm_ok(&["install", release, &case.chart("author"), "-f", &values, "-f", &over, "--timeout", "5m"])
}

fn certificates(case: &Case) -> Result<()> {
    install(case, "cert", "certificate-create")?;
    gone(case, "cert-author-admission-create")?;
    let secret = case.get(&["secret", "ingress-admission"]);
    let authority = secret["data"]["ca"].as_str().unwrap_or_default().to_owned();
    ensure(!authority.is_empty(), || format!("no certificate in the secret: {secret}"))?;

    // Cluster-wide, so each Helm has one of its own.
    let release = format!("patch-{}", case.helm.program());
    let name = format!("{release}-admission");
    case.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": name},
        "webhooks": [{
            "name": "rules.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore",
            "clientConfig": {"service": {"name": "operator", "namespace": case.namespace}},
            "rules": [{"apiGroups": ["rules.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["rules"]}]
        }]
    }))?;
    let installed = install(case, &release, "webhook-patch");
    let webhook = case.get(&["validatingwebhookconfiguration", &name]);
    case.kubectl(&["delete", "validatingwebhookconfiguration", &name]);
    installed?;
    ensure(webhook["webhooks"][0]["clientConfig"]["caBundle"] == authority.as_str(), || {
        format!("the webhook has another authority: {webhook}")
    })?;
    gone(case, &format!("{release}-author-admission-patch"))
}

fn workflow(case: &Case) -> Result<()> {
    let password = "correct-horse-battery";
    let connection = format!("sqlite:////opt/airflow/logs/airflow.db?password={password}");
    secret(case, "flow-metadata", &json!({"connection": connection}))?;
    config(case, "flow-config", &json!({"airflow.cfg": "[core]\nload_examples = False\n"}))?;
    case.volume("logs")?;
    case.apply(&manifest::claim("logs"))?;
    install(case, "flow", "workflow-migrate")?;
    gone(case, "flow-author-run-migrations")?;
    let log = case.read("logs", "hook-logs/flow-author-run-migrations.txt");
    contains(
        "the migration's log",
        &log,
        &["Database migrating done!", "for KubernetesExecutor", "succeeded"],
    )?;
    ensure(!log.contains(password), || "the connection is in the log".into())
}

fn gateway_and_dashboard(case: &Case) -> Result<()> {
    // A database as far as a hook's wait can tell: something that takes connections.
    let mut pod = manifest::pod("localhost/hooks:1.0.0", &["python3", "-m", "http.server", "5432"], "unused");
    pod["containers"][0]["volumeMounts"] = json!([]);
    pod["volumes"] = json!([]);
    case.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "database", "labels": {"app": "database"}}, "spec": pod}))?;
    case.apply(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "gate-database"},
        "spec": {"selector": {"app": "database"}, "ports": [{"port": 5432}]}
    }))?;
    config(case, "gate-settings", &json!({"KONG_LOG_LEVEL": "notice"}))?;
    install(case, "gate", "gateway-migrations")?;
    gone(case, "gate-author-pre-upgrade-migrations")?;

    let address =
        case.get(&["service", "gate-database"])["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned();
    secret(case, "dash-env", &json!({"DB_HOST": address, "DB_PORT": "5432"}))?;
    let init = "[ \"$(id -u)\" = 0 ] && [ \"$installed\" = yes ] && nc -w 2 \"$DB_HOST\" \"$DB_PORT\" </dev/null && grep -q ldap.corp /etc/hosts\n";
    secret(
        case,
        "dash-config",
        &json!({"superset_bootstrap.sh": "touch /usr/installed && installed=yes\n", "superset_init.sh": init}),
    )?;
    install(case, "dash", "dashboard-init")?;
    gone(case, "dash-author-init-db")
}

fn buckets(case: &Case) -> Result<()> {
    let password = "staple-correct-battery";
    secret(case, "store-root", &json!({"password": password}))?;
    let script = "set -eu\ncat /credentials/password\nfor bucket; do mkdir -p /data/buckets/$bucket; echo \"made $bucket on $MINIO_ENDPOINT\"; done\n";
    config(case, "store-scripts", &json!({"make-buckets": script}))?;
    case.volume("store-buckets")?;
    install(case, "store", "storage-buckets")?;
    gone(case, "store-make-buckets")?;
    let log = case.read("store-buckets", "hook-logs/store-make-buckets.txt");
    contains("the buckets' log", &log, &["made media on store", "made backups on store", "succeeded"])?;
    ensure(!log.contains(password), || "the password is in the log".into())
}

fn secret(case: &Case, name: &str, data: &Value) -> Result<()> {
    case.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}))
}

fn config(case: &Case, name: &str, data: &Value) -> Result<()> {
    case.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}))
}
