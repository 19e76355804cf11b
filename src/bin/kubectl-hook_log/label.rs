//! The label of reader pods, by which this call and others recognize them.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

pub const LABEL: &str = "app.kubernetes.io/managed-by";
pub const LABEL_VALUE: &str = "kubectl-hook-log";

/// Whether a pod is a reader.
pub fn is_reader(pod: &Pod) -> bool {
    pod.labels().get(LABEL).is_some_and(|value| value == LABEL_VALUE)
}
