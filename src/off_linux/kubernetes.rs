//! The step of a sidecar, which only a pod has.

/// What a sidecar is to do.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The container whose log is preserved.
    pub container: String,
}
