//! `hook-runner sidecar` preserves the log of another container in the same pod, whose image and command cannot be
//! changed, and ends as that container did.
//!
//! It runs as an ordinary second container of the Job's pod and reads the log through the Kubernetes API with the pod's
//! service account. With `restartPolicy: Never` the pod is complete when both containers have ended. It may talk to the
//! API server, writes to the sink it is given, and runs no command.
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
//! With `restartPolicy: OnFailure` the kubelet restarts both containers independently. The state directory remembers
//! which start was preserved last, so that none is preserved twice. But a container that restarts at once can end
//! before the sidecar sees it: choose `Never`.
//!
//! The API cannot give lines that the kubelet rotated away (at 10 MiB by default) before they were asked for, or while
//! no connection was open. Both are noticed, marked in the log, and no success.

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

/// What the sidecar does.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The container whose log is preserved.
    pub container: String,
    /// The API server, and this pod's name.
    pub access: Access,
    /// Intervals and time limits.
    pub pace: Pace,
}
