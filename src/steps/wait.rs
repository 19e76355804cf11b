//! Waits for a file, a TCP port or an HTTP answer.
//!
//! May look at the filesystem and open connections. Knows nothing of logs, steps or exit statuses; `exit.rs` says that
//! an unmet condition is 69.
//!
//! The first probe is made at once, the next after 100 ms, then ever more slowly up to the interval: most hooks wait
//! for something that is there or almost there. Each probe resolves the name anew and opens a new connection. A probe
//! without an answer is given up after the probe timeout.

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

/// The first pause; each next is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Time reserved for a last probe.
const LAST_PROBE: Duration = Duration::from_millis(100);

/// A condition was met.
#[derive(Debug)]
pub struct Met {
    /// Time waited.
    #[allow(dead_code, reason = "tests look at it")]
    pub after: Duration,
    /// Number of probes, the last one included.
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
        /// The condition.
        condition: Condition,
        /// The time limit.
        timeout: Duration,
        /// What the last informative probe saw.
        last_observation: Option<Observation>,
        /// Number of probes.
        probes: u32,
    },
    /// The attempt ended, by its own timeout or a signal.
    #[error("{condition} was not met in the {} until the wait was ended: {}", shown(*after), last(last_observation.as_ref()))]
    Cancelled {
        /// The condition.
        condition: Condition,
        /// Time waited.
        after: Duration,
        /// What the last informative probe saw.
        last_observation: Option<Observation>,
        /// Number of probes.
        probes: u32,
    },
    /// User name and password cannot be read. The hook is wrong; waiting does not help.
    #[error("{condition} cannot be asked for: {why}")]
    Credentials {
        /// The condition.
        condition: Condition,
        /// The reason.
        why: String,
    },
    /// The CA file cannot be used. The hook is wrong; waiting does not help.
    #[error("{condition} cannot be checked: {source}")]
    Roots {
        /// The condition.
        condition: Condition,
        /// The reason.
        source: RootsError,
    },
}

impl NotMet {
    /// What the reader can do about it.
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

    /// What the last informative probe saw.
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

/// Refuses impossible waits before anything is done. A missing file may still be made by an earlier step; a variable is
/// set from the start or never.
///
/// # Errors
/// The first wait that is wrong.
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
            // A listening port creates no file here.
            Step::Wait(Wait { condition: Condition::Tcp(_), .. }) => {}
            _ => made.add(step),
        }
    }
    Ok(())
}

/// Probes until the condition is met, its time is over, or `cancel` is cancelled. `observed` gets what each probe saw.
///
/// # Errors
/// The condition was not met; holds the last observation.
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
            // A probe that was cut short tells less than the complete one before it.
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

/// Shortens the pause so that a last probe fits in before the time is over.
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

/// The means to probe one condition.
enum Probe<'a> {
    File { path: &'a Path, look: Repeated<Looked> },
    Tcp(Dialer),
    Http { client: Client, target: &'a str, headers: HeaderMap, wanted: Accepted },
}

/// A look at a path: `Ok`, or the error and the target of a dangling link.
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

    /// What was seen: `Ok` if the condition is met.
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
