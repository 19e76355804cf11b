//! What a probe saw when its condition was not met, and what to do about it. Only values and sentences; knows nothing
//! of time or probing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::hook::accepted::Accepted;
use crate::http::{self, DialError};
use crate::support::cause::words;
use crate::support::durations::shown;

/// Why the condition was not met.
#[derive(Debug)]
pub enum Observation {
    /// The path does not exist.
    Absent(PathBuf),
    /// The path is a symbolic link to nothing.
    Dangling {
        /// The link.
        path: PathBuf,
        /// The link's target, as written in the link.
        target: PathBuf,
    },
    /// The system cannot tell whether the path exists.
    File {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The volume does not answer.
    Hung {
        /// The path.
        path: PathBuf,
        /// Time waited.
        after: Duration,
    },
    /// No connection.
    Dial(DialError),
    /// No answer to the request.
    Http(http::Error),
    /// An answer with an unwanted status.
    Status {
        /// The status.
        got: u16,
        /// The wanted statuses.
        wanted: Accepted,
        /// The target of a redirect.
        location: Option<String>,
    },
}

impl Observation {
    /// Whether the probe only ran out of time.
    pub(super) fn is_timeout(&self) -> bool {
        match self {
            Self::Hung { .. } => true,
            Self::Dial(error) => {
                matches!(error, DialError::ResolveTimeout { .. } | DialError::ConnectTimeout { .. })
            }
            Self::Http(error) => error.is_timeout(),
            _ => false,
        }
    }

    /// What the reader can do about it. May look at the filesystem.
    pub fn advice(&self) -> String {
        match self {
            Self::Absent(path) => absent(path),
            Self::Dangling { .. } => {
                "check what the link points to as seen from this container: an absolute target is looked up here, not on the volume".into()
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "let the user that the hook runs as search every directory of that path (fsGroup, or modes)".into()
            }
            Self::File { .. } => "check the volume and the path".into(),
            Self::Hung { .. } => "check the volume's server and the node's mount".into(),
            Self::Dial(error) | Self::Http(http::Error::Dial(error)) => dial(error).into(),
            Self::Http(http::Error::Certificate { .. }) => {
                "give the authority that issued the server's certificate with --ca-file, or repair the certificate".into()
            }
            Self::Http(http::Error::Tls { .. }) => {
                "check that the server speaks TLS on this port; for plain HTTP write http://".into()
            }
            Self::Http(http::Error::Broken { .. } | http::Error::TooLong { .. }) => {
                "check that the server speaks HTTP on this port; for TLS write https://".into()
            }
            Self::Http(http::Error::Silent { .. }) => {
                "the application takes connections and does not serve: see its log, or wait for a cheaper path".into()
            }
            Self::Http(http::Error::Socket { .. }) => {
                "check that the application listens on that socket, and that its volume is mounted here too".into()
            }
            Self::Status { got, location, .. } => status(*got, location.as_deref()),
        }
    }
}

fn absent(path: &Path) -> String {
    let missing_parent = path
        .ancestors()
        .skip(1)
        .take_while(|parent| !parent.as_os_str().is_empty())
        .take_while(|parent| matches!(parent.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound))
        .last();
    match missing_parent {
        Some(parent) => {
            format!("{} does not exist either: check the volume's mountPath and the path", parent.display())
        }
        None => "check that what creates it has run, and the path's spelling".into(),
    }
}

fn dial(error: &DialError) -> &'static str {
    match error {
        DialError::Resolve { .. } => {
            "check the Service's name; from another namespace it is NAME.NAMESPACE.svc"
        }
        DialError::ResolveTimeout { .. } => {
            "check the cluster's DNS, and that a NetworkPolicy lets this pod reach it"
        }
        DialError::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
            "nothing listens there, or the Service has no ready pod: see the application's pods and their log, and the port"
        }
        DialError::Connect { .. } => "check the address, and the pod's network",
        DialError::ConnectTimeout { .. } => {
            "packets are dropped: check NetworkPolicies, and that the address is still in use"
        }
    }
}

fn status(got: u16, location: Option<&str>) -> String {
    match (got, location) {
        (300..=399, Some(location)) => {
            format!("redirects are not followed: wait for {location} instead, or accept the status")
        }
        (401 | 403, _) => {
            "give user and password with --wait-auth-file, wait for a path that needs none, or accept the status".into()
        }
        (404, _) => "check the URL's path".into(),
        (500..=599, _) => "see the application's log".into(),
        _ => "check the URL, or accept the status".into(),
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(path) => write!(f, "{} does not exist", path.display()),
            Self::Dangling { path, target } => {
                write!(
                    f,
                    "{} is a symbolic link to {}, which does not exist",
                    path.display(),
                    target.display()
                )
            }
            Self::File { path, source } => write!(f, "{}: {}", path.display(), words(source)),
            Self::Hung { path, after } => {
                write!(f, "{}: the volume does not answer (waited {})", path.display(), shown(*after))
            }
            Self::Dial(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
            Self::Status { got, wanted, location } => {
                write!(f, "answered {got}, wanted {wanted}")?;
                location.as_ref().map_or(Ok(()), |location| write!(f, " (redirects to {location})"))
            }
        }
    }
}
