//! Requests to stop: the signal, and its sender as far as the kernel tells. A second signal of the same kind means "at
//! once"; one of the other kind repeats the request (`docker stop` after Ctrl-C).

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::libc;
use tokio_util::sync::CancellationToken;

use super::signals::Received;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// 15 or 2.
    pub signal: u8,
    sender: Sender,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Sender {
    /// A process of this PID namespace; the name is empty if it has ended.
    Process { pid: u32, name: String },
    /// The terminal's Ctrl-C.
    Kernel,
    /// A process of another PID namespace, such as the kubelet.
    Outside,
}

impl Stop {
    fn new(received: Received) -> Self {
        let sender = match received {
            Received { code: libc::SI_KERNEL, .. } => Sender::Kernel,
            Received { sender: 0, .. } => Sender::Outside,
            Received { sender: pid, .. } => Sender::Process { pid, name: name_of(pid) },
        };
        Self { signal: u8::try_from(received.signal).unwrap_or(0), sender }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if i32::from(self.signal) == libc::SIGINT { "SIGINT" } else { "SIGTERM" };
        write!(f, "{name} (signal {}) ", self.signal)?;
        match &self.sender {
            Sender::Process { pid, name } if name.is_empty() => write!(f, "from process {pid}"),
            Sender::Process { pid, name } => write!(f, "from process {pid} ({name})"),
            Sender::Kernel => f.write_str("from the terminal"),
            Sender::Outside => f.write_str("from outside the container"),
        }
    }
}

fn name_of(pid: u32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim().chars().filter(|c| !c.is_control()).collect()
}

/// timeout(1) sends its signal to the process that it started, and at once to its own group: one request that comes
/// twice. A terminal or the kubelet is another sender.
const ONE_REQUEST: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Stops {
    first: Arc<OnceLock<Stop>>,
    requested: CancellationToken,
    terms: u32,
    ints: u32,
    /// The last signal, its sender, and when it came.
    last: Option<(i32, u32, Instant)>,
}

impl Stops {
    pub(super) fn came(&mut self, received: Received) {
        let now = Instant::now();
        let is_repetition = self.last.is_some_and(|(signal, sender, at)| {
            sender != 0 && (signal, sender) == (received.signal, received.sender) && now - at < ONE_REQUEST
        });
        self.last = Some((received.signal, received.sender, now));
        if is_repetition {
            return;
        }
        let count = if received.signal == libc::SIGINT { &mut self.ints } else { &mut self.terms };
        *count += 1;
        self.first.get_or_init(|| Stop::new(received));
        self.requested.cancel();
    }

    pub(super) fn first(&self) -> Option<&Stop> {
        self.first.get()
    }

    /// A token that the first request cancels.
    pub(super) fn token(&self) -> CancellationToken {
        self.requested.clone()
    }

    /// Completes with the first request.
    pub(super) fn requested(&self) -> impl Future<Output = Stop> + use<> {
        let (token, first) = (self.requested.clone(), Arc::clone(&self.first));
        async move {
            token.cancelled().await;
            match first.get() {
                Some(stop) => stop.clone(),
                None => std::future::pending().await,
            }
        }
    }

    /// The number of requests.
    pub(super) fn count(&self) -> u32 {
        self.terms + self.ints
    }

    /// The number of requests to stop at once.
    pub(super) fn repeated(&self) -> u32 {
        self.terms.saturating_sub(1) + self.ints.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(signal: i32) -> Received {
        Received { signal, sender: 0, code: libc::SI_USER }
    }

    #[test]
    fn only_a_second_signal_of_the_same_kind_asks_to_stop_at_once() {
        let mut stops = Stops::default();
        stops.came(received(libc::SIGINT));
        stops.came(received(libc::SIGTERM));
        assert_eq!((stops.count(), stops.repeated()), (2, 0));
        stops.came(received(libc::SIGTERM));
        assert_eq!((stops.count(), stops.repeated()), (3, 1));
        assert_eq!(stops.first().map(|stop| stop.signal), Some(2));
    }

    #[test]
    fn a_signal_that_a_process_sends_twice_at_once_is_one_request() {
        let mut stops = Stops::default();
        let from = |sender| Received { signal: libc::SIGTERM, sender, code: libc::SI_USER };
        stops.came(from(7));
        stops.came(from(7));
        assert_eq!((stops.count(), stops.repeated()), (1, 0));
        stops.came(from(8));
        assert_eq!((stops.count(), stops.repeated()), (2, 1));
    }

    #[test]
    fn the_sender_is_told_as_far_as_the_kernel_tells() {
        let own = Received { signal: libc::SIGTERM, sender: std::process::id(), code: libc::SI_USER };
        let pid = std::process::id();
        assert!(Stop::new(own).to_string().starts_with(&format!("SIGTERM (signal 15) from process {pid} (")));
        let outside = Stop::new(received(libc::SIGTERM));
        assert_eq!(outside.to_string(), "SIGTERM (signal 15) from outside the container");
        let terminal = Received { signal: libc::SIGINT, sender: 0, code: libc::SI_KERNEL };
        assert_eq!(Stop::new(terminal).to_string(), "SIGINT (signal 2) from the terminal");
    }
}
