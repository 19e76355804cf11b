//! Waits for a file, a TCP port or an HTTP answer.
//!
//! May look at the filesystem and open connections. Knows nothing of logs, steps or exit statuses; that a
//! condition not met is status 69 is said in `exit.rs`.
//!
//! The first probe is made at once, the next after 100 ms, then ever more slowly up to the interval: a hook
//! mostly waits for something that is there or nearly there. Each probe is a new one: name looked up anew,
//! new connection. A probe that gets no answer is given up after the probe timeout.

mod credentials;
mod observation;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::HeaderMap;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

pub use self::observation::Observation;
use crate::hook::accepted::Accepted;
use crate::hook::condition::Condition;
use crate::hook::made::Made;
use crate::hook::steps::Step;
use crate::hook::wait::{Auth, Wait};
use crate::http::{Client, Dialer, Roots, RootsError, Url};
use crate::support::blocking::Repeated;
use crate::support::durations::shown;
use crate::support::observed::Observed;

/// The first pause; each next one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// What is kept of the time for a last probe.
const LAST_PROBE: Duration = Duration::from_millis(100);

/// A condition was met.
#[derive(Debug)]
pub struct Met {
    /// How long it took.
    #[allow(dead_code, reason = "tests look at it")]
    pub after: Duration,
    /// How many probes it took, the last one included.
    #[allow(dead_code, reason = "tests count them")]
    pub probes: u32,
    /// What the last probe saw: `it exists`, `answered 200`.
    pub observation: String,
}

/// A condition was not met.
#[derive(Debug, thiserror::Error)]
pub enum NotMet {
    /// Time ran out.
    #[error("{condition} was not met within {}: {}", shown(*timeout), last(last_observation.as_ref()))]
    TimedOut {
        /// What was waited for.
        condition: Condition,
        /// For how long.
        timeout: Duration,
        /// What the last telling probe saw.
        last_observation: Option<Observation>,
        /// How many probes were made.
        probes: u32,
    },
    /// The attempt ended: its own timeout, or a signal.
    #[error("{condition} was not met in the {} until the wait was ended: {}", shown(*after), last(last_observation.as_ref()))]
    Cancelled {
        /// What was waited for.
        condition: Condition,
        /// For how long.
        after: Duration,
        /// What the last telling probe saw.
        last_observation: Option<Observation>,
        /// How many probes were made.
        probes: u32,
    },
    /// User and password cannot be had: the hook itself is wrong, and waiting does not help.
    #[error("{condition} cannot be asked for: {why}")]
    Credentials {
        /// What was to be waited for.
        condition: Condition,
        /// What is wrong.
        why: String,
    },
    /// The CA file cannot be used: the hook itself is wrong, and waiting does not help.
    #[error("{condition} cannot be checked: {source}")]
    Roots {
        /// What was to be waited for.
        condition: Condition,
        /// What is wrong.
        source: RootsError,
    },
}

impl NotMet {
    /// The next step for whoever reads it.
    pub fn advice(&self) -> String {
        match self {
            Self::TimedOut { last_observation: Some(seen), .. }
            | Self::Cancelled { last_observation: Some(seen), .. } => seen.advice(),
            Self::TimedOut { .. } | Self::Cancelled { .. } => "give it more time".into(),
            Self::Credentials { .. } => {
                "mount the Secret there, or correct the wait's auth-file or auth-env".into()
            }
            Self::Roots { .. } => "give the PEM file of the server's authority with --ca-file".into(),
        }
    }

    /// What the last telling probe saw.
    #[allow(dead_code, reason = "tests look at it")]
    pub fn last_observation(&self) -> Option<&Observation> {
        match self {
            Self::TimedOut { last_observation, .. } | Self::Cancelled { last_observation, .. } => {
                last_observation.as_ref()
            }
            Self::Roots { .. } | Self::Credentials { .. } => None,
        }
    }
}

fn last(observation: Option<&Observation>) -> String {
    observation.map_or_else(|| "no probe was finished".into(), ToString::to_string)
}

/// Refuses waits that cannot be asked for, before anything is done. A file may still have to be made by a step before its
/// wait; a variable is there from the start or never.
///
/// # Errors
/// The first that is wrong.
#[allow(clippy::result_large_err)] // once an attempt
pub fn check(steps: &[Step]) -> Result<(), NotMet> {
    let mut made = Made::default();
    for step in steps {
        match step {
            Step::Wait(wait @ Wait { condition: Condition::Http(url), .. }) => {
                if !matches!(&wait.roots, Roots::File(path) if made.may_hold(path)) {
                    drop(client(wait, url)?);
                }
                if !matches!(&wait.auth, Some(Auth::File(path)) if made.may_hold(path)) {
                    drop(headers(wait)?);
                }
            }
            // What listens on a port makes no file here.
            Step::Wait(Wait { condition: Condition::Tcp(_), .. }) => {}
            _ => made.add(step),
        }
    }
    Ok(())
}

/// Probes until the condition is met, its time is over, or `cancel` is; `observed` is told what each probe saw.
///
/// # Errors
/// Not met, with what was seen last.
pub async fn until(wait: &Wait, cancel: &CancellationToken, observed: &Observed) -> Result<Met, NotMet> {
    let started = Instant::now();
    let deadline = wait.timeout.and_then(|timeout| started.checked_add(timeout));
    let condition = &wait.condition;
    let mut probe = Probe::new(wait)?;
    let mut pause = FIRST_PAUSE.min(wait.interval);
    let mut probes = 0;
    let mut last: Option<Observation> = None;

    loop {
        let full = Instant::now() + wait.probe_timeout;
        let limit = deadline.map_or(full, |deadline| deadline.min(full));
        probes += 1;
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                probes -= 1;
                None
            }
            outcome = probe.make(limit) => Some(outcome),
        };
        match outcome {
            Some(Ok(observation)) => return Ok(Met { after: started.elapsed(), probes, observation }),
            // A probe that the wait's end cut short says less than the whole one before it.
            Some(Err(seen)) if seen.is_timeout() && limit < full && last.is_some() => {}
            Some(Err(seen)) => {
                let seen_before = last.as_ref().map(ToString::to_string);
                if seen_before != Some(seen.to_string()) {
                    tracing::info!(%condition, probes, "not yet: {seen}");
                }
                observed.set(seen.to_string());
                last = Some(seen);
            }
            None => {}
        }

        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if !cancel.is_cancelled() && left != Some(Duration::ZERO) {
            let rest = sleep(shortened(pause, left));
            pause = (pause.saturating_mul(3) / 2).min(wait.interval);
            tokio::select! {
                () = cancel.cancelled() => {}
                () = rest => {}
            }
        }
        if cancel.is_cancelled() {
            return Err(NotMet::Cancelled {
                condition: condition.clone(),
                after: started.elapsed(),
                last_observation: last,
                probes,
            });
        }
        if let (Some(deadline), Some(timeout)) = (deadline, wait.timeout)
            && Instant::now() >= deadline
        {
            let condition = condition.clone();
            return Err(NotMet::TimedOut { condition, timeout, last_observation: last, probes });
        }
    }
}

/// The pause, cut so that a last probe is made shortly before time is over.
fn shortened(pause: Duration, left: Option<Duration>) -> Duration {
    match left {
        Some(left) if pause < left => pause,
        Some(left) if left > 2 * LAST_PROBE => left.saturating_sub(LAST_PROBE),
        Some(left) => left,
        None => pause,
    }
}

/// The client for `url`, with the authorities that the wait trusts.
#[allow(clippy::result_large_err)] // once a step
fn client(wait: &Wait, url: &Url) -> Result<Client, NotMet> {
    let roots = url.is_https().then(|| wait.roots.clone());
    let client = Client::new(url.endpoint().clone(), roots)
        .map_err(|source| NotMet::Roots { condition: wait.condition.clone(), source })?;
    Ok(client.through(wait.unix_socket.clone()))
}

/// The header fields of the wait's requests.
#[allow(clippy::result_large_err)] // once a step
fn headers(wait: &Wait) -> Result<HeaderMap, NotMet> {
    credentials::headers(wait).map_err(|why| NotMet::Credentials { condition: wait.condition.clone(), why })
}

/// What one condition is probed with.
enum Probe<'a> {
    File { path: &'a Path, look: Repeated<Looked> },
    Tcp(Dialer),
    Http { client: Client, target: &'a str, headers: HeaderMap, wanted: Accepted },
}

/// What looking at a path found: nothing wrong, or why not, and where a dangling link points to.
type Looked = Result<(), (io::Error, Option<PathBuf>)>;

impl<'a> Probe<'a> {
    #[allow(clippy::result_large_err)] // once a step
    fn new(wait: &'a Wait) -> Result<Self, NotMet> {
        Ok(match &wait.condition {
            Condition::File(path) => Self::File { path, look: Repeated::default() },
            Condition::Tcp(endpoint) => Self::Tcp(Dialer::new(endpoint.clone())),
            Condition::Http(url) => {
                let (client, headers) = (client(wait, url)?, headers(wait)?);
                Self::Http { client, target: url.target(), headers, wanted: wait.status }
            }
        })
    }

    /// What was seen, met or not.
    async fn make(&mut self, deadline: Instant) -> Result<String, Observation> {
        match self {
            Self::File { path, look } => file(path, look, deadline).await,
            Self::Tcp(dialer) => {
                let stream = dialer.dial(deadline).await.map_err(Observation::Dial)?;
                let peer = stream.peer_addr().map_or_else(|_| "it".into(), |address| address.to_string());
                Ok(format!("{peer} takes connections"))
            }
            Self::Http { client, target, headers, wanted } => {
                let answer =
                    client.get(target, headers.clone(), deadline).await.map_err(Observation::Http)?;
                let got = answer.status;
                if wanted.holds(got) {
                    return Ok(format!("answered {got}"));
                }
                let location = answer.header("location").map(String::from);
                Err(Observation::Status { got, wanted: *wanted, location })
            }
        }
    }
}

async fn file(path: &Path, look: &mut Repeated<Looked>, deadline: Instant) -> Result<String, Observation> {
    let started = Instant::now();
    let looked_at = path.to_path_buf();
    let looking = look.run(move || {
        std::fs::metadata(&looked_at).map(drop).map_err(|error| (error, std::fs::read_link(&looked_at).ok()))
    });
    let path = path.to_path_buf();
    match timeout_at(deadline, looking).await {
        Err(_) => Err(Observation::Hung { path, after: started.elapsed() }),
        Ok(Ok(Ok(()))) => Ok("it exists".into()),
        Ok(Ok(Err((error, link)))) => Err(match link {
            Some(target) if error.kind() == io::ErrorKind::NotFound => Observation::Dangling { path, target },
            None if error.kind() == io::ErrorKind::NotFound => Observation::Absent(path),
            _ => Observation::File { path, source: error },
        }),
        Ok(Err(source)) => Err(Observation::File { path, source }),
    }
}
