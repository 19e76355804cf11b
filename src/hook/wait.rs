//! What a wait step waits for, and how. `steps::wait` does the waiting.

use std::path::PathBuf;
use std::time::Duration;

use crate::hook::accepted::Accepted;
use crate::hook::condition::Condition;
use crate::hook::header::Header;
use crate::hook::when::When;
use crate::http::Roots;

/// Default of the longest pause between probes.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// Default time limit of one probe.
pub const DEFAULT_PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// A wait step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What is waited for.
    pub condition: Condition,
    /// Time limit; `None` means until the attempt's own limit.
    pub timeout: Option<Duration>,
    /// The longest pause between probes.
    pub interval: Duration,
    /// Time limit of one probe.
    pub probe_timeout: Duration,
    /// The accepted statuses for `http` and `https`.
    pub status: Accepted,
    /// The trusted authorities for `https`.
    pub roots: Roots,
    /// Headers of the request.
    pub headers: Vec<Header>,
    /// The source of user name and password for HTTP basic authentication.
    pub auth: Option<Auth>,
    /// Connect to this socket instead of the URL's host and port.
    pub unix_socket: Option<PathBuf>,
    /// Limits the step to some runs.
    pub when: Option<When>,
}

/// The source of `USER:PASSWORD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// A file, such as a mounted Secret's. A trailing newline is ignored.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl Wait {
    /// A wait with the defaults: no time limit, an interval of 1 s, probes of at most 10 s, statuses 200 to 399,
    /// authorities from the environment ([`Roots::choose`]).
    pub fn new(condition: Condition) -> Self {
        Self {
            condition,
            timeout: None,
            interval: DEFAULT_INTERVAL,
            probe_timeout: DEFAULT_PROBE_TIMEOUT,
            status: Accepted::default(),
            roots: Roots::choose(None),
            headers: Vec::new(),
            auth: None,
            unix_socket: None,
            when: None,
        }
    }
}
