//! A pod as the API server describes it: its containers, and the state of one of them. Only values; knows nothing of
//! requests.

use serde::Deserialize;

use super::stamp::Stamp;

/// The needed parts of `v1.Pod`. Field names are the API's.
#[derive(Debug, Deserialize)]
pub struct Pod {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    restart_policy: String,
    containers: Vec<Named>,
    init_containers: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: String,
    state: ContainerState,
    last_state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
    message: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Running {
    started_at: Option<String>,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Its exit status; 128 + n after a signal.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// The termination message.
    pub message: String,
    /// Identifies this start of the container.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// When it started, in whole seconds (RFC 3339); `None` if it never did.
    pub started_at: Option<String>,
    /// When it ended, likewise.
    pub finished_at: Option<String>,
}

impl Terminated {
    pub(super) fn finished_at(&self) -> Option<Stamp> {
        Stamp::parse(self.finished_at.as_deref()?.as_bytes())
    }

    /// Whether the runtime could not start it, so that it printed nothing. The reasons are containerd's and CRI-O's.
    pub fn never_started(&self) -> bool {
        matches!(self.reason.as_str(), "StartError" | "ContainerCannotRun" | "CreateContainerError")
    }
}

/// The state of a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not started yet, with the reason.
    Waiting(String),
    /// Runs; the id of this start.
    Running(String),
    /// This start has ended. A newer one may have begun.
    Ended {
        how: Terminated,
        /// A newer start runs or has run.
        replaced: bool,
    },
    /// A newer start runs, and the status no longer tells of the one asked for.
    Gone,
}

impl Pod {
    /// The names of the containers, in the pod's order.
    pub(super) fn containers(&self) -> impl Iterator<Item = &str> {
        self.spec.init_containers.iter().chain(&self.spec.containers).map(|container| container.name.as_str())
    }

    /// When this start of the container began; `None` if the status does not say.
    pub(super) fn started_at(&self, container: &str, instance: &str) -> Option<Stamp> {
        let status = self.status(container)?;
        let ended = [&status.state, &status.last_state]
            .into_iter()
            .filter_map(|state| state.terminated.as_ref())
            .find(|how| how.container_id == instance);
        let text = match (&status.state.running, ended) {
            (_, Some(how)) => how.started_at.as_deref(),
            (Some(running), None) if status.container_id == instance => running.started_at.as_deref(),
            _ => None,
        };
        Stamp::parse(text?.as_bytes())
    }

    fn status(&self, container: &str) -> Option<&ContainerStatus> {
        let mut statuses = self.status.container_statuses.iter().chain(&self.status.init_container_statuses);
        statuses.find(|status| status.name == container)
    }

    /// Whether the kubelet restarts a container that ended like this.
    pub(super) fn restarts_after(&self, how: &Terminated) -> bool {
        match self.spec.restart_policy.as_str() {
            "Never" => false,
            "OnFailure" => how.exit_code != 0,
            _ => true,
        }
    }

    /// The state of the container or, with `instance`, of that start of it.
    pub(super) fn state(&self, container: &str, instance: Option<&str>) -> State {
        let Some(status) = self.status(container) else {
            return State::Waiting("the kubelet has not reported it yet".into());
        };
        let ended = |state: &ContainerState, known_id: &str| {
            let mut how = state.terminated.clone()?;
            if how.container_id.is_empty() {
                known_id.clone_into(&mut how.container_id);
            }
            Some(how)
        };
        let now = ended(&status.state, &status.container_id);
        let before = ended(&status.last_state, "");
        if let Some(instance) = instance {
            if let Some(how) = now.filter(|how| how.container_id == instance) {
                return State::Ended { how, replaced: false };
            }
            if let Some(how) = before.filter(|how| how.container_id == instance) {
                // Until the next start begins, its log is still served as the current one.
                let replaced = status.state.waiting.is_none();
                return State::Ended { how, replaced };
            }
            let other = status.state.running.is_some() && status.container_id != instance;
            return if other { State::Gone } else { State::Running(instance.into()) };
        }
        if status.state.running.is_some() && !status.container_id.is_empty() {
            return State::Running(status.container_id.clone());
        }
        match (now, before, &status.state.waiting) {
            (Some(how), ..) | (None, Some(how), Some(_)) => State::Ended { how, replaced: false },
            (_, _, Some(waiting)) => {
                let colon = if waiting.message.is_empty() { "" } else { ": " };
                State::Waiting(format!("{}{colon}{}", waiting.reason, waiting.message))
            }
            _ => State::Waiting("it is being started".into()),
        }
    }
}
