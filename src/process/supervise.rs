//! The supervisor: reaps all children and reads all signals from the start of the program to its end. Decides what each
//! signal means; knows nothing of the command's output.
//!
//! - SIGCHLD: reaps everything that has ended; PID 1 and subreapers inherit orphans.
//! - SIGTERM, SIGINT: a stop request. It is forwarded; after the grace the group is killed; a second one of the same
//!   kind kills at once. While no command runs (copying, waiting) the first cancels [`Supervisor::stop_token`].
//! - SIGTSTP, SIGTTIN, SIGTTOU: forwarded; the runner stops too if a shell can continue it.
//! - SIGCONT: forwarded, after the terminal is given back to the command.
//! - A signal from this process itself (SIGPIPE of a write to a closed stdout): dropped, it was not meant for the
//!   command.
//! - All others, including real-time signals and SIGFPE, SIGILL, SIGSEGV sent by other processes: forwarded.

use nix::libc;
use std::ffi::CString;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

use super::command::{ChildStdio, Command};
use super::ending::{Ending, Limits, Status};
use super::oom::oom_kills;
use super::signals::{Before, Received, Signals, send};
use super::spawn::{inherited, spawn};
use super::spawn_error::{Reason, SpawnError};
use super::stop::{Stop, Stops};
use super::terminal::{SessionTerminal, Terminal, can_be_continued};

/// How long to wait for a killed command. In an uninterruptible call (a hung volume) it may never end, but the attempt
/// must.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// Stands for a time that the clock cannot represent: thirty years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Returned when a second signal of the same kind comes during work without a command: leave at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped by a second signal before the step had ended")]
pub struct Abandoned;

/// Reads all signals and reaps all children of this process. There is one for the whole life of the program.
#[derive(Debug)]
pub struct Supervisor {
    /// Used until the first wait: signals are blocked before the runtime runs.
    early: Option<Signals>,
    signals: Option<AsyncFd<Signals>>,
    before: Before,
    /// The environment for the command, once it is known.
    environment: Option<Vec<CString>>,
    own_pid: u32,
    stops: Stops,
    /// The command's process group, as long as it or its leftovers may need signals.
    group: Option<Pid>,
    status: Option<Status>,
    terminal: Option<Terminal>,
}

impl Supervisor {
    /// Blocks all signals and becomes the reaper of all descendants. Call it before any thread is started. (Descriptors
    /// 0, 1 and 2 are open: if they were closed, the standard library has opened /dev/null before `main`.)
    pub fn new() -> io::Result<Self> {
        let (signals, before) = Signals::block()?;
        set_child_subreaper(true)?;
        Ok(Self {
            early: Some(signals),
            signals: None,
            before,
            environment: None,
            own_pid: std::process::id(),
            stops: Stops::default(),
            group: None,
            status: None,
            terminal: None,
        })
    }

    /// A token that the first TERM or INT cancels.
    pub fn stop_token(&self) -> CancellationToken {
        self.stops.token()
    }

    /// The first TERM or INT.
    pub fn stop(&self) -> Option<&Stop> {
        self.stops.first()
    }

    /// Completes with the first TERM or INT.
    pub fn stopped(&self) -> impl Future<Output = Stop> + use<> {
        self.stops.requested()
    }

    pub fn stop_requested(&self) -> bool {
        self.stops.count() > 0
    }

    /// Whether a second TERM or INT of the same kind has come.
    pub fn stop_at_once_requested(&self) -> bool {
        self.stops.repeated() > 0
    }

    /// Starts `command` and waits until it has ended, was killed, or cannot be killed. Other processes of its group may
    /// still run; they get signals until [`Supervisor::forget_group`].
    pub async fn run(
        &mut self,
        command: &Command,
        stdio: ChildStdio,
        limits: Limits,
    ) -> Result<Ending, SpawnError> {
        let refused = |error| SpawnError {
            command: command.argv.first().cloned().unwrap_or_default().into(),
            reason: Reason::Other(error),
        };
        self.register().map_err(refused)?;
        let (terminal, given_up) =
            if command.setsid { (None, SessionTerminal::give_up()) } else { (Terminal::held(), None) };
        let environment = self.environment.get_or_insert_with(inherited);
        let child = spawn(command, &stdio, given_up.as_ref(), &self.before, environment);
        let child = child.inspect_err(|_| {
            if let Some(terminal) = &given_up {
                terminal.take_back();
            }
        })?;
        // Our copies of the write end: the reader must see the end once the command's copies are closed.
        drop(stdio);
        if let Some(terminal) = &terminal {
            terminal.give(child);
        }
        self.terminal = terminal;
        self.group = Some(child);
        self.status = None;
        let ending = self.until_end(child, limits).await.map_err(refused);
        if let Some(terminal) = self.terminal.take() {
            terminal.take();
        }
        if let Some(terminal) = given_up {
            terminal.take_back();
        }
        ending
    }

    /// Stops sending signals to the last command's group.
    pub fn forget_group(&mut self) {
        self.group = None;
    }

    /// Drives `work` while signals are read and children reaped. Signals go to the last command's group, unless it was
    /// forgotten.
    pub async fn attend<F: Future>(&mut self, work: F) -> Result<F::Output, Abandoned> {
        let mut work = pin!(work);
        let repeated = self.stops.repeated();
        loop {
            tokio::select! {
                biased;
                output = &mut work => return Ok(output),
                read = self.next_signal() => {
                    // If signals cannot be read, still wait for the work.
                    if read.is_err() {
                        return Ok(work.await);
                    }
                    if self.stops.repeated() > repeated {
                        return Err(Abandoned);
                    }
                }
            }
        }
    }

    async fn until_end(&mut self, child: Pid, limits: Limits) -> io::Result<Ending> {
        let group = child.as_raw();
        let (already, repeated) = (self.stops.count(), self.stops.repeated());
        let oom_before = oom_kills();
        let mut ending = Ending {
            status: Status::Signaled(libc::SIGKILL),
            group,
            timed_out: false,
            stopped: false,
            killed: false,
            at_once: false,
            stuck: false,
            oom_kills: 0,
        };
        let mut kill_at: Option<Instant> = None;
        let mut give_up_at: Option<Instant> = None;
        loop {
            if let Some(status) = self.status.take() {
                ending.status = status;
                ending.oom_kills = oom_kills().unwrap_or(0).saturating_sub(oom_before.unwrap_or(u64::MAX));
                return Ok(ending);
            }
            let wake = if ending.killed { give_up_at } else { kill_at.or(limits.deadline) };
            tokio::select! {
                biased;
                read = self.next_signal() => read?,
                () = until(wake) => {
                    if ending.killed {
                        ending.stuck = true;
                        return Ok(ending);
                    }
                    if kill_at.is_none() {
                        ending.timed_out = true;
                        send(-group, libc::SIGTERM);
                        // A stopped process cannot act on TERM.
                        send(-group, libc::SIGCONT);
                    }
                }
            }
            let now = Instant::now();
            ending.stopped = self.stops.count() > already;
            if kill_at.is_none() && (ending.timed_out || ending.stopped) {
                kill_at = Some(now.checked_add(limits.grace).unwrap_or(now + NEVER));
            }
            let due = kill_at.is_some_and(|at| at <= now);
            let at_once = !due && self.stops.repeated() > repeated;
            if (due || at_once) && !ending.killed && self.status.is_none() {
                send(-group, libc::SIGKILL);
                // It may have left its group. It is not reaped yet, so its number is not reused.
                send(group, libc::SIGKILL);
                (ending.killed, ending.at_once) = (true, at_once);
                give_up_at = Some(now + AFTER_KILL);
            }
        }
    }

    fn register(&mut self) -> io::Result<&AsyncFd<Signals>> {
        if let Some(early) = self.early.take() {
            // SAFETY: `Signals` owns its descriptor, always returns the same one, and closes it only when dropped.
            let signals = unsafe { AsyncFd::register_with_interest(early, Interest::READABLE) };
            self.signals = Some(signals.map_err(|refused| refused.into_parts().1)?);
        }
        self.signals.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Waits for one signal and handles it. Cancel-safe: the poll that reads a signal also handles it.
    async fn next_signal(&mut self) -> io::Result<()> {
        let received = {
            let signals = self.register()?;
            loop {
                let mut ready = signals.readable().await?;
                match ready.get_inner().next()? {
                    Some(received) => break received,
                    None => ready.clear_ready(),
                }
            }
        };
        self.handle(received);
        Ok(())
    }

    fn handle(&mut self, received: Received) {
        match received.signal {
            libc::SIGCHLD => self.reap(),
            _ if received.sender == self.own_pid => {}
            signal @ (libc::SIGTERM | libc::SIGINT) => {
                self.forward(signal);
                self.stops.came(received);
            }
            signal @ (libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                self.forward(signal);
                if can_be_continued() {
                    self.stop_self();
                }
            }
            libc::SIGCONT => {
                if let (Some(terminal), Some(group)) = (&self.terminal, self.group) {
                    terminal.give_again(group);
                }
                self.forward(libc::SIGCONT);
            }
            signal => self.forward(signal),
        }
    }

    fn forward(&self, signal: i32) {
        if let Some(group) = self.group {
            send(-group.as_raw(), signal);
        }
    }

    /// Uses SIGSTOP, because the other stop signals are blocked here. SIGCONT then arrives like any signal.
    fn stop_self(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.take();
        }
        send(i32::try_from(self.own_pid).unwrap_or(0), libc::SIGSTOP);
    }

    fn reap(&mut self) {
        let options = libc::WNOHANG | if self.terminal.is_some() { libc::WUNTRACED } else { 0 };
        loop {
            let mut status = 0;
            // SAFETY: waitpid(2) writes the status into an int that lives across the call. (nix rejects a status with a
            // real-time signal after having reaped it.)
            let pid = unsafe { libc::waitpid(-1, &raw mut status, options) };
            if pid <= 0 {
                return;
            }
            if self.group != Some(Pid::from_raw(pid)) {
                continue;
            }
            if libc::WIFSTOPPED(status) {
                self.command_stopped(Pid::from_raw(pid), libc::WSTOPSIG(status));
            } else if libc::WIFSIGNALED(status) {
                self.status = Some(Status::Signaled(libc::WTERMSIG(status)));
            } else {
                self.status = Some(Status::Exited(libc::WEXITSTATUS(status)));
            }
        }
    }

    /// The command stopped itself in a terminal: its shell gets the terminal back, as if the command were the shell's
    /// own job.
    fn command_stopped(&self, group: Pid, signal: i32) {
        let Some(terminal) = &self.terminal else { return };
        let wants_terminal = signal == libc::SIGTTIN || signal == libc::SIGTTOU;
        if wants_terminal && terminal.is_foreground(group) {
            // It asked for the terminal just before getting it.
            send(-group.as_raw(), libc::SIGCONT);
        } else if can_be_continued() {
            self.stop_self();
        } else if signal != libc::SIGSTOP {
            // Nobody could ever continue it.
            send(-group.as_raw(), libc::SIGCONT);
        }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
