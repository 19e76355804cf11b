//! The cluster as the scenarios see it: kubectl, Helm, volumes, and the runner's own view of a volume.
//! Knows nothing of what a scenario shows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What went wrong, in words; evidence is added where it is caught.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// Which Helm a scenario is shown with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Helm {
    /// helm.sh/helm/v3.
    Three,
    /// helm.sh/helm/v4.
    Four,
}

impl Helm {
    /// The program's name in the folder of programs.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Three => "helm3",
            Self::Four => "helm4",
        }
    }
}

/// Where things are; from the environment that `run` sets.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// kubectl, helm3, helm4.
    pub(crate) bin: PathBuf,
    /// The static runner.
    pub(crate) runner: PathBuf,
    /// The charts, their dependencies built.
    pub(crate) charts: PathBuf,
    /// The state of our own cluster; none where `KUBECONFIG` names another.
    pub(crate) state: Option<PathBuf>,
}

impl Place {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Result<Self> {
        let path = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .ok_or_else(|| format!("{name} is not set; start the suite with tests/cluster/run"))
        };
        Ok(Self {
            bin: path("E2E_BIN")?,
            runner: path("E2E_RUNNER")?,
            charts: path("E2E_CHARTS")?,
            state: std::env::var_os("E2E_STATE").map(PathBuf::from),
        })
    }
}

/// One scenario with one Helm, in a namespace of its own.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Where things are.
    pub(crate) place: Place,
    /// Which Helm.
    pub(crate) helm: Helm,
    /// The namespace.
    pub(crate) namespace: String,
}

/// A command's end.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether its status was 0.
    pub(crate) ok: bool,
    /// stdout, then stderr.
    pub(crate) text: String,
}

/// Runs a command to its end.
pub(crate) fn command(program: &Path, arguments: &[&str], input: Option<&str>) -> Ended {
    use std::io::Write;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended { ok: false, text: format!("{}: {error}", program.display()) },
    };
    if let (Some(mut stdin), Some(text)) = (child.stdin.take(), input) {
        // A command that ends without reading has its own message.
        let _ = stdin.write_all(text.as_bytes());
    }
    match child.wait_with_output() {
        Ok(output) => Ended {
            ok: output.status.success(),
            text: String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        },
        Err(error) => Ended { ok: false, text: format!("{}: {error}", program.display()) },
    }
}

/// Asks until there is an answer; the deadline is generous, since it is reached only by a failure.
pub(crate) fn until<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            return Err(format!("not seen within {seconds} s: {what}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Fails with `message` unless `condition`.
pub(crate) fn ensure(condition: bool, message: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(message()) }
}

/// Fails unless `text` contains each of `parts`.
pub(crate) fn contains(what: &str, text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure(text.contains(part), || format!("{what} lacks {part:?}; it is:\n{text}"))?;
    }
    Ok(())
}

impl Case {
    /// Runs kubectl in the namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Ended {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(arguments);
        command(&self.place.bin.join("kubectl"), &all, None)
    }

    /// kubectl's output; its failure is the case's.
    pub(crate) fn kubectl_ok(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.kubectl(arguments);
        ensure(ended.ok, || format!("kubectl {}: {}", arguments.join(" "), ended.text.trim()))?;
        Ok(ended.text)
    }

    /// What `kubectl get … -o json` says; null where there is none.
    pub(crate) fn get(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        let ended = self.kubectl(&all);
        if ended.ok { serde_json::from_str(&ended.text).unwrap_or(Value::Null) } else { Value::Null }
    }

    /// The objects of a kind.
    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Value> {
        self.get(arguments)["items"].as_array().cloned().unwrap_or_default()
    }

    /// The pods of a Job, oldest first.
    pub(crate) fn pods_of(&self, job: &str) -> Vec<Value> {
        self.list(&[
            "pods",
            "-l",
            &format!("batch.kubernetes.io/job-name={job}"),
            "--sort-by=.metadata.creationTimestamp",
        ])
    }

    /// Applies an object.
    pub(crate) fn apply(&self, object: &Value) -> Result<()> {
        let ended = command(
            &self.place.bin.join("kubectl"),
            &["--namespace", &self.namespace, "apply", "-f", "-"],
            Some(&object.to_string()),
        );
        ensure(ended.ok, || format!("kubectl apply: {}", ended.text.trim()))
    }

    /// Makes the namespace with Pod Security `restricted` enforced: every scenario's pods must pass it.
    pub(crate) fn make_namespace(&self) -> Result<()> {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        }))
    }

    /// Lets in what another level of Pod Security lets in.
    pub(crate) fn enforce(&self, level: &str) -> Result<()> {
        let label = format!("pod-security.kubernetes.io/enforce={level}");
        self.kubectl_ok(&["label", "namespace", &self.namespace, &label, "--overwrite"]).map(drop)
    }

    /// Runs Helm in the namespace.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Ended {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(arguments);
        command(&self.place.bin.join(self.helm.program()), &all, None)
    }

    /// Helm's output; its failure is the case's.
    pub(crate) fn helm_ok(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.helm(arguments);
        ensure(ended.ok, || {
            format!("{} {}: {}", self.helm.program(), arguments.join(" "), ended.text.trim())
        })?;
        Ok(ended.text)
    }

    /// The release's state as Helm tells it: deployed, failed.
    pub(crate) fn release_state(&self, release: &str) -> String {
        let status = self.helm(&["status", release, "-o", "json"]).text;
        let value: Value = serde_json::from_str(&status).unwrap_or(Value::Null);
        value["info"]["status"].as_str().unwrap_or("none").to_owned()
    }

    /// The path of a chart.
    pub(crate) fn chart(&self, name: &str) -> String {
        self.place.charts.join(name).display().to_string()
    }

    /// Writes values for `helm -f` and gives their path; JSON is YAML.
    pub(crate) fn values(&self, name: &str, values: &Value) -> Result<String> {
        let path = self.place.charts.join(format!("{}-{name}.json", self.namespace));
        std::fs::write(&path, values.to_string()).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path.display().to_string())
    }

    /// Values of the chart that renders manifests as they are.
    pub(crate) fn manifests(&self, name: &str, manifests: &[Value]) -> Result<String> {
        self.values(name, &json!({"manifests": manifests}))
    }

    /// Provides the volume for a claim: on our own cluster a folder of the node, bound to the claim beforehand; on
    /// another the default storage class provides it when the claim is made.
    pub(crate) fn volume(&self, claim: &str) -> Result<()> {
        self.volume_with(claim, &["ReadWriteOnce", "ReadWriteMany"])
    }

    /// The same for a claim with these access modes.
    pub(crate) fn volume_with(&self, claim: &str, modes: &[&str]) -> Result<()> {
        let Some(folder) = self.volume_folder(claim) else { return Ok(()) };
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        self.apply(&json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": format!("{}-{claim}", self.namespace)},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": modes,
                "storageClassName": "local", "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": self.namespace, "name": claim},
                "local": {"path": folder},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]}}
            }
        }))
    }

    /// The folder behind a claim on our own cluster.
    pub(crate) fn volume_folder(&self, claim: &str) -> Option<PathBuf> {
        self.place
            .state
            .as_ref()
            .map(|state| state.join("volumes").join(format!("{}-{claim}", self.namespace)))
    }

    /// A file of the volume; empty where there is none.
    pub(crate) fn read(&self, claim: &str, path: &str) -> String {
        if let Some(folder) = self.volume_folder(claim) {
            return std::fs::read(folder.join(path))
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .unwrap_or_default();
        }
        let _ = self.reader(claim);
        let ended =
            self.kubectl(&["exec", &format!("reader-{claim}"), "--", "cat", &format!("/data/{path}")]);
        if ended.ok { ended.text } else { String::new() }
    }

    /// The runner's view of a volume, such as `["history", "--json"]`.
    pub(crate) fn ask_runner(&self, claim: &str, arguments: &[&str]) -> Ended {
        let mut all = arguments.to_vec();
        if let Some(folder) = self.volume_folder(claim) {
            let folder = folder.display().to_string();
            all.push(&folder);
            return command(&self.place.runner, &all, None);
        }
        let _ = self.reader(claim);
        let pod = format!("reader-{claim}");
        let mut exec = vec!["exec", pod.as_str(), "--", "/hook-runner"];
        exec.extend(all);
        exec.push("/data");
        self.kubectl(&exec)
    }

    /// The attempts that the volume knows of, oldest first.
    pub(crate) fn history(&self, claim: &str) -> Vec<Value> {
        let text = self.ask_runner(claim, &["history", "--json"]).text;
        // The program prints the newest first.
        text.lines().rev().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Results of the attempts: "command, succeeded".
    pub(crate) fn results(&self, claim: &str) -> String {
        let words: Vec<String> =
            self.history(claim).iter().map(|row| row["result"].as_str().unwrap_or("?").to_owned()).collect();
        words.join(", ")
    }

    /// A pod that has the claim mounted, where the node's folders are out of reach.
    fn reader(&self, claim: &str) -> Result<()> {
        let name = format!("reader-{claim}");
        if self.get(&["pod", &name]).is_null() {
            let mut spec = crate::manifest::pod("localhost/large:1.0.0", &["sleep", "86400"], claim);
            spec["restartPolicy"] = json!("Never");
            self.apply(
                &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}),
            )?;
        }
        self.kubectl_ok(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=120s"])
            .map(drop)
    }

    /// All that helps to understand a failure.
    pub(crate) fn evidence(&self) -> String {
        let mut text = String::new();
        let mut add = |title: &str, body: String| {
            let _ = writeln!(text, "--- {title}\n{}", body.trim_end());
        };
        add("pods, jobs, claims", self.kubectl(&["get", "pods,jobs,pvc", "-o", "wide"]).text);
        add("events", self.kubectl(&["get", "events", "--sort-by=.lastTimestamp"]).text);
        add("describe jobs", self.kubectl(&["describe", "jobs"]).text);
        add("describe pods", self.kubectl(&["describe", "pods"]).text);
        for pod in self.list(&["pods"]) {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            add(
                &format!("log of {name}"),
                self.kubectl(&["logs", name, "--all-containers", "--prefix"]).text,
            );
        }
        add("helm", self.helm(&["status", "vote"]).text);
        for claim in self.list(&["pvc"]) {
            let name = claim["metadata"]["name"].as_str().unwrap_or_default();
            add(&format!("history of {name}"), self.ask_runner(name, &["history"]).text);
            add(&format!("log on {name}"), self.read(name, "post-hook-output.txt"));
        }
        text
    }

    /// Removes the namespace and what it held.
    pub(crate) fn clean(&self) {
        self.kubectl(&["delete", "pods,jobs,deployments", "--all", "--force", "--grace-period=0"]);
        command(
            &self.place.bin.join("kubectl"),
            &["delete", "namespace", &self.namespace, "--wait=false"],
            None,
        );
        for volume in self.list(&["pv"]) {
            let name = volume["metadata"]["name"].as_str().unwrap_or_default();
            if volume["spec"]["claimRef"]["namespace"] == self.namespace.as_str() {
                self.kubectl(&["delete", "pv", name, "--wait=false"]);
            }
        }
    }
}
