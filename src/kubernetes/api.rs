//! The Kubernetes API, as far as a hook's pod needs it: the pod itself, the log of one of its containers, and Events.
//!
//! May read the service account's files and talk to the API server. Knows nothing of following or preserving. Each
//! request reads token and CA anew: the kubelet replaces both while the pod runs (a token lives an hour and is renewed
//! at 80 % of it).

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::time::Instant;

use super::pod::Pod;
use crate::http::{self, Answer, Client, Endpoint, Roots, RootsError};
use crate::support::cause::words;

/// Where the kubelet puts token, CA and namespace (Kubernetes: "Accessing the Kubernetes API from a Pod").
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Limit of a pod's JSON in bytes; etcd takes at most 1.5 MiB.
const LARGEST_POD: usize = 4 << 20;
/// Limit of an error's JSON in bytes.
const LARGEST_STATUS: usize = 64 << 10;
/// Time limit of a request that the server answers from memory.
const QUICK: Duration = Duration::from_secs(20);

/// Where the API server is, and which pod this is.
#[derive(Debug, Clone)]
pub struct Access {
    /// The API server.
    pub server: Endpoint,
    /// The directory with `token`, and `ca.crt` where `ca_file` is not given.
    pub service_account: PathBuf,
    /// The API server's CA, instead of the service account's.
    pub ca_file: Option<PathBuf>,
    /// This pod's namespace.
    pub namespace: String,
    /// This pod's name.
    pub pod: String,
}

/// Which log of a container, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerLog {
    /// The current start's log so far.
    Current,
    /// The current start's log until the container ends. The headers come with the first line, which may be much later.
    Followed,
    /// The log of the start before.
    Previous,
}

/// Something is missing that every pod with a service account has.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A variable is not set.
    #[error("{name} is not set: {why}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What it is for, and what sets it.
        why: &'static str,
    },
    /// A variable's value cannot be used.
    #[error("{name} is {value:?}, which is no {expected}")]
    Value {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {}; does the pod have automountServiceAccountToken: false?", path.display(), words(source))]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Token or CA cannot be read.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The CA cannot be used.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// No complete answer.
    #[error("the API server gives no answer: {0}")]
    Http(#[from] http::Error),
    /// The server refused.
    #[error("the API server answers {status} to \"{request}\": {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What was asked.
        request: &'static str,
        /// The API server's words.
        message: String,
    },
    /// The answer is malformed.
    #[error("the API server's answer to \"{request}\" cannot be understood: {why}")]
    Strange {
        /// What was asked.
        request: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl Access {
    /// Reads `KUBERNETES_SERVICE_HOST` and `_PORT`, the pod's name from `HOOK_RUNNER_POD` or `HOSTNAME`, and the
    /// namespace from `HOOK_RUNNER_NAMESPACE` or the service account.
    ///
    /// # Errors
    /// Something is missing, or is not a valid name.
    pub fn from_environment(
        service_account: Option<&Path>,
        ca_file: Option<&Path>,
    ) -> Result<Self, AccessError> {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let service_account = service_account.unwrap_or(Path::new(SERVICE_ACCOUNT)).to_path_buf();
        let in_cluster =
            "the API server's address, which the kubelet gives to every pod; this works in one only";
        let variable = |name, why| get(name).ok_or(AccessError::Variable { name, why });
        let host = variable("KUBERNETES_SERVICE_HOST", in_cluster)?;
        let port = variable("KUBERNETES_SERVICE_PORT", in_cluster)?;
        let port = port.parse().map_err(|_| AccessError::Value {
            name: "KUBERNETES_SERVICE_PORT",
            value: port,
            expected: "port",
        })?;
        let pod = get("HOOK_RUNNER_POD")
            .or_else(|| get("HOSTNAME"))
            .ok_or(AccessError::Variable { name: "HOOK_RUNNER_POD", why: "set it from metadata.name" })?;
        let namespace = get("HOOK_RUNNER_NAMESPACE")
            .map_or_else(|| read(&service_account.join("namespace")), Ok)?
            .trim()
            .to_owned();
        for (name, value) in [("HOOK_RUNNER_POD", &pod), ("HOOK_RUNNER_NAMESPACE", &namespace)] {
            // An RFC 1123 subdomain, so that no character needs escaping in a URL.
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            if value.is_empty() || !value.bytes().all(fits) {
                return Err(AccessError::Value {
                    name,
                    value: value.clone(),
                    expected: "name of a Kubernetes object",
                });
            }
        }
        let ca_file = ca_file.map(Path::to_path_buf);
        Ok(Self { server: Endpoint { host, port }, service_account, ca_file, namespace, pod })
    }

    /// This pod.
    ///
    /// # Errors
    /// Unreachable, refused, or malformed.
    pub async fn pod(&self) -> Result<Pod, ApiError> {
        let request = "get pods";
        let deadline = Instant::now() + QUICK;
        let body = self.get(request, "", deadline).await?.body(LARGEST_POD, deadline).await?;
        serde_json::from_slice(&body)
            .map_err(|_| ApiError::Strange { request, why: "it is no JSON, or not that of a pod".into() })
    }

    /// A log of a container from `since` on, each line with its timestamp. `deadline` limits the time until the headers.
    ///
    /// # Errors
    /// Unreachable or refused.
    pub async fn log(
        &self,
        container: &str,
        which: ContainerLog,
        since: Option<&str>,
        deadline: Instant,
    ) -> Result<Answer, ApiError> {
        let since =
            since.map_or_else(String::new, |since| format!("&sinceTime={}", since.replace('+', "%2B")));
        let (follow, previous) = (which == ContainerLog::Followed, which == ContainerLog::Previous);
        let rest =
            format!("/log?container={container}&timestamps=true&follow={follow}&previous={previous}{since}");
        self.get("get pods/log", &rest, deadline).await
    }

    /// Creates a `v1.Event` in the pod's namespace.
    ///
    /// # Errors
    /// Unreachable or refused.
    pub async fn create_event(&self, event: &serde_json::Value) -> Result<(), ApiError> {
        let target = format!("/api/v1/namespaces/{}/events", self.namespace);
        let body = Bytes::from(event.to_string());
        self.ask("create events", &target, Some(body), Instant::now() + QUICK).await.map(drop)
    }

    async fn get(&self, request: &'static str, rest: &str, deadline: Instant) -> Result<Answer, ApiError> {
        let target = format!("/api/v1/namespaces/{}/pods/{}{rest}", self.namespace, self.pod);
        self.ask(request, &target, None, deadline).await
    }

    async fn ask(
        &self,
        request: &'static str,
        target: &str,
        body: Option<Bytes>,
        deadline: Instant,
    ) -> Result<Answer, ApiError> {
        let token_file = self.service_account.join("token");
        let token = read(&token_file)?;
        let ca = self.ca_file.clone().unwrap_or_else(|| self.service_account.join("ca.crt"));
        let mut client = Client::new(self.server.clone(), Some(Roots::File(ca)))?;
        let mut headers = HeaderMap::new();
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| {
            AccessError::File { path: token_file, source: std::io::ErrorKind::InvalidData.into() }
        })?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        let answer = match body {
            None => client.get(target, headers, deadline).await?,
            Some(body) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                client.post(target, headers, body, deadline).await?
            }
        };
        if matches!(answer.status, 200..=299) {
            return Ok(answer);
        }
        let status = answer.status;
        let body =
            answer.body(LARGEST_STATUS, deadline.max(Instant::now() + QUICK)).await.unwrap_or_default();
        let message = serde_json::from_slice(&body).map_or_else(
            |_| String::from_utf8_lossy(&body).trim().to_owned(),
            |status: Status| status.message,
        );
        Err(ApiError::Refused { status, request, message })
    }
}

fn read(path: &Path) -> Result<String, AccessError> {
    std::fs::read_to_string(path).map_err(|source| AccessError::File { path: path.into(), source })
}

/// `v1.Status`.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

impl ApiError {
    /// Whether the failure is temporary: the API server or the kubelet is away or busy, or the container has not
    /// started (400). Anything else is a matter of permission or of the pod.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Http(error) => !matches!(error, http::Error::Certificate { .. }),
            Self::Refused { status, .. } => !matches!(status, 401 | 403 | 404),
            Self::Strange { .. } => true,
            Self::Access(_) | Self::Roots(_) => false,
        }
    }

    /// What the reader can do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::Refused { status: 403, request: "create events", .. } => {
                "the pod's service account may not create events: it needs a Role with the rule apiGroups: [\"\"], resources: [events], verbs: [create], and a RoleBinding to it".into()
            }
            Self::Refused { status: 403, request, .. } => {
                let resource = request.trim_start_matches("get ");
                format!(
                    "{resource} is not among what the pod's service account may get: it needs a Role with the rule apiGroups: [\"\"], resources: [pods, pods/log], verbs: [get], and a RoleBinding to it; both must exist before the Job (a hook of lower weight)"
                )
            }
            Self::Refused { status: 401, .. } => {
                "the token is not accepted: see that the pod's serviceAccountName still exists, and that its token is of this cluster".into()
            }
            Self::Refused { status: 404, .. } => {
                "set HOOK_RUNNER_POD from metadata.name and HOOK_RUNNER_NAMESPACE from metadata.namespace; HOSTNAME is cut at 63 characters".into()
            }
            Self::Refused { .. } | Self::Strange { .. } => "see the API server's and the kubelet's logs".into(),
            Self::Http(http::Error::Certificate { .. }) | Self::Roots(_) => {
                "give the API server's CA with --ca-file, where it is not the service account's".into()
            }
            Self::Http(_) => "check that a NetworkPolicy lets this pod reach the API server".into(),
            Self::Access(_) => "the sidecar needs the service account's token in its container".into(),
        }
    }
}
