//! What a wait step waits for, and how. The waiting itself is `steps::wait`.

use std::path::PathBuf;
use std::time::Duration;

use crate::hook::accepted::Accepted;
use crate::hook::condition::Condition;
use crate::hook::header::Header;
use crate::hook::when::When;
use crate::http::Roots;

/// The longest pause between probes, unless told otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// How long one probe may take, unless told otherwise.
pub const DEFAULT_PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// A wait step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What is waited for.
    pub condition: Condition,
    /// How long, more than zero; `None` is without end (the attempt's own timeout ends it).
    pub timeout: Option<Duration>,
    /// The longest pause between probes.
    pub interval: Duration,
    /// How long one probe may take.
    pub probe_timeout: Duration,
    /// The statuses that count for `http` and `https`.
    pub status: Accepted,
    /// The certificates that are trusted for `https`.
    pub roots: Roots,
    /// Header fields of the request.
    pub headers: Vec<Header>,
    /// Where user and password for HTTP basic authentication are read from.
    pub auth: Option<Auth>,
    /// Connect to this socket in place of the URL's host and port.
    pub unix_socket: Option<PathBuf>,
    /// Limits the step to some runs.
    pub when: Option<When>,
}

/// Where `USER:PASSWORD` is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// In a file, such as a mounted Secret's; a line break at its end does not count.
    File(PathBuf),
    /// In this environment variable.
    Variable(String),
}

impl Wait {
    /// A wait for `condition` with the defaults: no end, an interval of 1 s, probes of at most 10 s, any
    /// status from 200 to 399, trust as the environment says ([`Roots::choose`]).
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
