//! Identifies a run: run id, release, revision, Job, pod. Read from the environment, which the charts fill through the
//! downward API. Each part may be missing, as when the runner is started locally.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// What is known of the run and its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// The run id; unique per Job.
    pub run: String,
    /// The run id was generated for this start, so no files of this run exist yet.
    #[serde(skip)]
    pub new: bool,
    /// Helm release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Helm revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Chart and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    /// The hook's event, such as post-upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The Job's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The pod's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The node's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl Identity {
    /// Reads the environment. `run_id` comes from `--run-id`. Without it, release, revision and event name the run (the
    /// event, so that two hooks of one revision do not share a log); without those, each start is a run of its own.
    pub fn from_environment(run_id: Option<&str>) -> Self {
        let get =
            |name: &str| std::env::var(format!("HOOK_RUNNER_{name}")).ok().filter(|value| !value.is_empty());
        let mut identity = Self {
            run: String::new(),
            new: false,
            release: get("RELEASE"),
            revision: get("REVISION"),
            chart: get("CHART"),
            event: get("HOOK_EVENT"),
            job: get("JOB"),
            pod: get("POD"),
            namespace: get("NAMESPACE"),
            node: get("NODE"),
        };
        identity.run = match (run_id, &identity.release, &identity.revision) {
            (Some(id), ..) => id.into(),
            (None, Some(release), Some(revision)) => {
                let event = identity.event.as_deref().map_or(String::new(), |event| format!("-{event}"));
                file_name(&format!("{release}-{revision}{event}"))
            }
            _ => {
                identity.new = true;
                unique()
            }
        };
        identity
    }

    /// "release vote, revision 3, post-upgrade"; empty if nothing is known.
    pub fn release_text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(release) = &self.release {
            parts.push(format!("release {release}"));
        }
        if let Some(revision) = &self.revision {
            parts.push(format!("revision {revision}"));
        }
        parts.extend(self.event.clone());
        parts.join(", ")
    }

    /// "pod x, job y, namespace z, node n"; empty if nothing is known.
    pub fn place_text(&self) -> String {
        let named =
            [("pod", &self.pod), ("job", &self.job), ("namespace", &self.namespace), ("node", &self.node)];
        let parts =
            named.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Replaces characters that a file name should not have: `post-install,post-upgrade` is a legal list of events.
fn file_name(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    text.chars().map(fits).take(128).collect()
}

/// A unique id from the clock (microseconds) and the process id, which sorts by start time. A process has one.
fn unique() -> String {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(new_id).clone()
}

fn new_id() -> String {
    let now = humantime::format_rfc3339_micros(std::time::SystemTime::now()).to_string();
    let digits: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{digits}-{}", std::process::id())
}
