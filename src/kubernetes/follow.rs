//! Follows a container's log to its end and learns how the container ended.
//!
//! May talk to the API server and write to the sink it is given. Knows nothing of the volume.
//!
//! Connections follow one another, each resuming where the last one broke (`cursor.rs`), until the pod's status says
//! that the container has ended. Then the rest of the log is fetched without following, until one answer is complete. A
//! connection can die without a sign: while one is silent the pod's status is asked for now and then, and after a
//! longer silence a new connection is made.

use std::time::{Duration, SystemTime};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout_at};

use super::Follow;
use super::api::{Access, ApiError, ContainerLog};
use super::cursor::Cursor;
use super::failure::{Ended, Failure};
use super::pace::{Pace, Patience};
use super::pod::{Pod, State, Terminated};
use super::stamp::Stamp;
use crate::http::Answer;
use crate::support::observed::Observed;

/// Written where lines may be missing.
const GAP: &str = "[hook-runner: lines may be missing here: the container's log was rotated while the connection was broken]\n";

/// Written before the first line if earlier lines may be missing.
const LATE: &str = "[hook-runner: lines may be missing here: the container had started earlier, and the kubelet rotates away what is old]\n";

/// Tolerance: `startedAt` is cut to whole seconds, and a program needs a moment to print its first line.
const FIRST_LINE: Duration = Duration::from_secs(2);

/// How long after the container's start an empty log is believed to be so because nothing was printed yet. Kubelets look
/// every ten seconds by default whether a log is to be rotated (`containerLogMonitorInterval`).
const EMPTY: Duration = Duration::from_secs(10);

/// Follows the log of `container` in this pod until it has ended, and writes it to `sink` as it comes.
///
/// `preserved` is the id of the container start that was preserved last: the next start is waited for. With
/// `restartPolicy: OnFailure` the kubelet restarts both the container and the sidecar.
///
/// `observed` says what is being waited for; it is empty while the log comes.
///
/// Dropping the future loses only what came since the last write.
///
/// # Errors
/// See [`Failure`]. Temporary failures are retried without end: the API server may be away for minutes.
pub async fn follow<W: AsyncWrite + Unpin>(
    follow: &Follow,
    preserved: Option<&str>,
    observed: &Observed,
    sink: &mut W,
) -> Result<Ended, Failure> {
    let Follow { container, access, pace } = follow;
    let mut following = Following {
        access,
        container,
        pace,
        observed,
        sink,
        cursor: Cursor::default(),
        started_at: None,
        asked_at: None,
        unbroken: false,
        gaps: 0,
    };
    let instance = following.started(preserved).await?;
    tracing::info!(container, instance, "following");
    let how = following.until_end(&instance).await?;
    if !how.never_started() {
        following.rest(&instance, &how).await?;
    }
    let mid_line = following.cursor.is_mid_line();
    Ok(Ended { how, gaps: following.gaps, mid_line })
}

struct Following<'a, W> {
    access: &'a Access,
    container: &'a str,
    pace: &'a Pace,
    observed: &'a Observed,
    sink: &'a mut W,
    cursor: Cursor,
    /// When the container started, according to the pod's status.
    started_at: Option<Stamp>,
    /// When its log was first asked for.
    asked_at: Option<Stamp>,
    /// The last following connection ended cleanly, as it does when the container ends.
    unbroken: bool,
    gaps: u32,
}

/// What one connection brought.
#[derive(Default)]
struct Came {
    bytes: bool,
    lines: bool,
    foreign: Option<String>,
}

impl<W: AsyncWrite + Unpin> Following<'_, W> {
    /// Waits until the container has started; returns the id of that start.
    async fn started(&mut self, preserved: Option<&str>) -> Result<String, Failure> {
        let mut told = String::new();
        let mut pause = self.pace.poll;
        loop {
            let pod = self.pod().await?;
            if !pod.containers().any(|name| name == self.container) {
                let there = pod.containers().map(String::from).collect();
                return Err(Failure::UnknownContainer { name: self.container.into(), there });
            }
            let waiting = match pod.state(self.container, None) {
                State::Running(instance) => {
                    self.begins(&pod, &instance);
                    return Ok(instance);
                }
                State::Ended { how, .. }
                    if preserved != Some(&how.container_id) || !pod.restarts_after(&how) =>
                {
                    self.begins(&pod, &how.container_id);
                    return Ok(how.container_id);
                }
                State::Ended { .. } | State::Gone => "it is about to be started again".into(),
                State::Waiting(why) => why,
            };
            self.observed.set(format!("container {} has not started: {waiting}", self.container));
            if waiting != told {
                tracing::info!(container = self.container, "not started: {waiting}");
                told = waiting;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1).max(self.pace.poll));
        }
    }

    /// Follows this start of the container from now on.
    fn begins(&mut self, pod: &Pod, instance: &str) {
        self.observed.set("");
        self.started_at = pod.started_at(self.container, instance);
        // The containers of the pod and the kubelet that stamps the lines share the node's clock.
        self.asked_at = SystemTime::now().try_into().ok();
    }

    /// The pod; retries temporary failures.
    async fn pod(&self) -> Result<Pod, Failure> {
        let mut patience = Patience::new(self.pace);
        loop {
            match self.access.pod().await {
                Ok(pod) => {
                    self.observed.set("");
                    return Ok(pod);
                }
                Err(error) => {
                    self.observed.set(error.to_string());
                    patience.wait(error).await?;
                }
            }
        }
    }

    /// Follows until the pod's status says that this start of the container has ended.
    async fn until_end(&mut self, instance: &str) -> Result<Terminated, Failure> {
        let mut patience = Patience::new(self.pace);
        loop {
            match self.pod().await?.state(self.container, Some(instance)) {
                State::Ended { how, .. } => return Ok(how),
                State::Gone => return Err(Failure::Gone { name: self.container.into() }),
                State::Running(_) | State::Waiting(_) => {}
            }
            match self.connection(instance).await? {
                Ok(came) => {
                    if came.bytes {
                        patience = Patience::new(self.pace);
                    }
                    if let Some(text) = came.foreign {
                        tracing::warn!("in place of the log: {text}");
                    }
                    patience.rest().await;
                }
                Err(error) => {
                    self.observed.set(error.to_string());
                    patience.wait(error).await?;
                }
            }
        }
    }

    /// One following connection, until it ends, the container ends, or it is silent for too long.
    async fn connection(&mut self, instance: &str) -> Result<Result<Came, ApiError>, Failure> {
        let (access, container, pace) = (self.access, self.container, self.pace);
        let since = self.cursor.reconnect();
        let mut came = Came::default();
        // A silent new connection does not make up for one that broke before it.
        let unbroken = self.unbroken || self.cursor.first().is_none();
        self.unbroken = false;
        let mut quiet_since = Instant::now();
        let head = access.log(container, ContainerLog::Followed, since.as_deref(), quiet_since + pace.reopen);
        let mut head = std::pin::pin!(head);
        let mut answer: Option<Answer> = None;
        loop {
            let chunk = async {
                if answer.is_none() {
                    answer = Some(head.as_mut().await?);
                }
                match &mut answer {
                    Some(answer) => answer.chunk().await.map_err(ApiError::from),
                    None => Ok(None),
                }
            };
            match timeout_at(Instant::now() + pace.check, chunk).await {
                Ok(Ok(Some(piece))) => {
                    quiet_since = Instant::now();
                    self.take(&piece, &mut came).await?;
                }
                Ok(Err(ApiError::Http(error))) if error.is_timeout() && answer.is_none() => {
                    return Ok(Ok(came));
                }
                Ok(Err(error)) if answer.is_none() => return Ok(Err(error)),
                Ok(Ok(None)) => {
                    self.unbroken = unbroken || self.cursor.caught_up();
                    return Ok(Ok(came));
                }
                Ok(Err(error)) => {
                    tracing::info!("the connection broke: {error}");
                    return Ok(Ok(came));
                }
                Err(_) => {
                    // No answer says nothing about the container.
                    let ended = access
                        .pod()
                        .await
                        .is_ok_and(|pod| matches!(pod.state(container, Some(instance)), State::Ended { .. }));
                    if ended || quiet_since.elapsed() >= pace.reopen {
                        return Ok(Ok(came));
                    }
                }
            }
        }
    }

    /// Fetches the rest of the log after the container's end.
    async fn rest(&mut self, instance: &str, how: &Terminated) -> Result<(), Failure> {
        let deadline = Instant::now() + self.pace.last;
        let mut patience = Patience::new(self.pace);
        let mut why: Option<String> = None;
        loop {
            // Asked again each time: if the kubelet restarts the container, this log becomes the previous one.
            let state = self.pod().await?.state(self.container, Some(instance));
            let replaced = matches!(state, State::Ended { replaced: true, .. });
            let fault = match self.whole(replaced, deadline).await? {
                Ok(came) if came.lines || came.foreign.is_none() => {
                    // The log file was rotated after the last line and is empty: we have everything.
                    let nothing_after = self.unbroken && !came.lines && !self.cursor.is_mid_line();
                    if !self.cursor.caught_up() && !nothing_after {
                        self.gap(self.cursor.is_mid_line()).await?;
                    }
                    // The log of what has ended is not rotated any more.
                    let asked = self.asked_at.min(how.finished_at().or(self.asked_at));
                    if self.cursor.first().is_none() && self.is_late(asked) {
                        self.late().await?;
                    }
                    return Ok(());
                }
                Ok(came) => came.foreign.unwrap_or_default(),
                // An attempt that the deadline cut short tells less than the one before.
                Err(ApiError::Http(error)) if error.is_timeout() && why.is_some() => String::new(),
                Err(error) if patience.is_over(&error) => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            self.observed.set(format!("the rest of the log cannot be read: {fault}"));
            tracing::warn!("the rest of the log: {fault}");
            why = Some(fault).filter(|fault| !fault.is_empty()).or(why);
            if Instant::now() + patience.pause >= deadline {
                return Err(Failure::LogLost { how: how.clone(), why: why.unwrap_or_default() });
            }
            patience.rest().await;
        }
    }

    /// Reads one answer to its end.
    async fn whole(&mut self, replaced: bool, deadline: Instant) -> Result<Result<Came, ApiError>, Failure> {
        let since = self.cursor.reconnect();
        let mut came = Came::default();
        let which = if replaced { ContainerLog::Previous } else { ContainerLog::Current };
        let answer = self.access.log(self.container, which, since.as_deref(), deadline).await;
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match timeout_at(deadline.max(Instant::now() + self.pace.check), answer.chunk()).await {
                Ok(Ok(Some(piece))) => self.take(&piece, &mut came).await?,
                Ok(Ok(None)) => return Ok(Ok(came)),
                Ok(Err(error)) => return Ok(Err(error.into())),
                Err(_) => {
                    let why = "it stopped in the middle".into();
                    return Ok(Err(ApiError::Strange { request: "get pods/log", why }));
                }
            }
        }
    }

    async fn take(&mut self, piece: &[u8], came: &mut Came) -> Result<(), Failure> {
        let mid_line = self.cursor.is_mid_line();
        let before_first = self.cursor.first().is_none();
        let news = self.cursor.take(piece);
        if before_first && self.cursor.first().is_some() && self.is_late(self.asked_at) {
            self.late().await?;
        }
        if news.gap {
            self.gap(mid_line).await?;
        }
        if !news.bytes.is_empty() {
            came.bytes = true;
            self.write(&news.bytes).await?;
        }
        came.lines |= self.cursor.saw_lines();
        came.foreign = news.foreign.or(came.foreign.take());
        Ok(())
    }

    /// Whether lines may have been rotated away before the log was first asked for. Either the oldest line that is left was
    /// printed before that moment, but well after the container's start; or none was left, long after the start.
    fn is_late(&self, asked: Option<Stamp>) -> bool {
        let (Some(started), Some(asked)) = (self.started_at, asked) else { return false };
        match self.cursor.first().filter(|first| *first < asked) {
            Some(first) => started.later_by(FIRST_LINE) < first,
            None => started.later_by(EMPTY) < asked,
        }
    }

    async fn late(&mut self) -> Result<(), Failure> {
        self.gaps += 1;
        tracing::warn!("the log begins after the container's start: lines may be missing");
        self.write(LATE.as_bytes()).await
    }

    async fn gap(&mut self, mid_line: bool) -> Result<(), Failure> {
        self.gaps += 1;
        tracing::warn!("the log was rotated while the connection was broken: lines may be missing");
        if mid_line {
            self.write(b"\n").await?;
        }
        self.write(GAP.as_bytes()).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = async {
            self.sink.write_all(bytes).await?;
            self.sink.flush().await
        };
        written.await.map_err(|source| Failure::Sink { source })
    }
}
