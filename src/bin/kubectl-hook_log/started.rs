//! Whether a reader has started and if not, why, according to node, scheduler and image. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// The state of a reader's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    Running,
    /// Not yet, with the reason if known.
    Waiting(Option<String>),
    /// It will never start, with the reason.
    Never(String),
}

/// The state of a container's start.
pub fn start(pod: &Pod, container: &str, image: &str) -> Start {
    let Some(status) = &pod.status else { return Start::Waiting(None) };
    let mut all =
        [&status.container_statuses, &status.ephemeral_container_statuses].into_iter().flatten().flatten();
    if let Some(found) = all.find(|one| one.name == container) {
        match of_container(found, image) {
            Start::Waiting(None) => {}
            told => return told,
        }
    }
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        let why = status.message.as_deref().or(status.reason.as_deref()).unwrap_or("it ended at once");
        return Start::Never(format!("the node refuses the pod that reads: {why}"));
    }
    let unscheduled =
        status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.status == "False");
    Start::Waiting(unscheduled.map(|condition| {
        let why = condition.message.as_deref().unwrap_or("no reason is given");
        format!("no node takes the pod that reads: {why}")
    }))
}

fn of_container(status: &ContainerStatus, image: &str) -> Start {
    let Some(state) = &status.state else { return Start::Waiting(None) };
    if state.running.is_some() {
        return Start::Running;
    }
    if let Some(ended) = &state.terminated {
        let why = ended.message.as_deref().or(ended.reason.as_deref()).unwrap_or_default();
        return Start::Never(format!(
            "the reader ended at its start with status {} ({why}); does the image {image} have hook-runner? Give another: --image",
            ended.exit_code
        ));
    }
    let waiting = state.waiting.as_ref();
    let why = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
    match waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default() {
        "ErrImageNeverPull" | "ImagePullBackOff" | "InvalidImageName" => Start::Never(format!(
            "the node cannot get the image {image}: {why}; give one that it can pull: --image"
        )),
        "ErrImagePull" => Start::Waiting(Some(format!("the node cannot get the image {image}: {why}"))),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Start::Never(format!("the node cannot start the reader from the image {image}: {why}"))
        }
        _ => Start::Waiting(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Start, start};

    #[test]
    fn what_keeps_a_reader_from_starting_is_said_with_its_object() {
        let waiting = |reason: &str| json!({"waiting": {"reason": reason, "message": "because"}});
        let pod = |state: Value| {
            json!({"status": {"phase": "Pending", "containerStatuses": [
                {"name": "reader", "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": ""}
            ]}})
        };
        let unschedulable =
            json!({"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"});
        // the pod; whether it will never start; words of the sentence
        let table = [
            (json!({}), Some(false), ""),
            (pod(json!({"running": {}})), None, ""),
            (pod(waiting("ContainerCreating")), Some(false), ""),
            (pod(waiting("ErrImagePull")), Some(false), "image shop:1: because"),
            (pod(waiting("ImagePullBackOff")), Some(true), "image shop:1: because"),
            (pod(waiting("ErrImageNeverPull")), Some(true), "image shop:1: because"),
            (pod(waiting("CreateContainerError")), Some(true), "shop:1: because"),
            (pod(json!({"terminated": {"exitCode": 127}})), Some(true), "status 127"),
            (
                json!({"status": {"phase": "Pending", "conditions": [unschedulable]}}),
                Some(false),
                "0/1 nodes",
            ),
            (
                json!({"status": {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough cpu"}}),
                Some(true),
                "enough cpu",
            ),
        ];
        for (pod, never, words) in table {
            let found = start(&serde_json::from_value(pod.clone()).expect("a pod"), "reader", "shop:1");
            let (is_never, said) = match found {
                Start::Running => (None, String::new()),
                Start::Waiting(why) => (Some(false), why.unwrap_or_default()),
                Start::Never(why) => (Some(true), why),
            };
            assert_eq!(is_never, never, "{pod}");
            assert!(said.contains(words) && said.is_empty() == words.is_empty(), "{pod}: {said}");
        }
    }
}
