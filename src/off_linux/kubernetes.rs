//! The step of a sidecar, which only exists in a pod.

/// What a sidecar does.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The container whose log is preserved.
    pub container: String,
}
