//! `hook-runner sidecar`: preserves the log of another container of the same pod, one whose image and command
//! cannot be changed, and ends as that container did.
//!
//! It runs as an ordinary second container of the Job's pod and reads the log through the Kubernetes API with
//! the pod's service account. With `restartPolicy: Never` the pod is complete when both containers have ended.
//! May talk to the API server; what it gets goes to the sink it is given, and it runs no command.
//!
//! The service account needs a Role in the pod's namespace, and a `RoleBinding` to it, both there before the Job:
//!
//! ```yaml
//! rules:
//!   - apiGroups: [""]
//!     resources: [pods, pods/log]
//!     verbs: [get]
//! ```
//!
//! With `restartPolicy: OnFailure` the kubelet starts both containers again, each by itself. The start that was
//! preserved last is remembered in the state directory and not preserved twice, but a container that is
//! started again at once can get ahead of its observer: `Never` is the policy to choose.
//!
//! What the API cannot give: lines that the kubelet rotated away (10 MiB by default) before they were first
//! asked for, or while no connection was there. Both are noticed, marked in the log, and no success.

mod api;
mod cursor;
mod failure;
mod follow;
mod pace;
mod pod;
mod stamp;

pub use api::Access;
pub use failure::{Ended, Failure};
pub use follow::follow;
pub use pace::Pace;

/// What a sidecar is to do.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The container whose log is preserved.
    pub container: String,
    /// The API server, and which pod this is.
    pub access: Access,
    /// How often and how long.
    pub pace: Pace,
}
