//! After a command's end: waits until its output is written, and ends processes that it left behind and that still hold
//! the pipe. Once nobody holds the pipe, only the log or stdout can be slow: they are waited for until the attempt's
//! deadline, because nothing may be lost.

use std::time::{Duration, Instant};

use nix::libc;
use tokio::sync::oneshot;

use crate::output::Tee;
use crate::process::{Ending, Supervisor, end_leftovers, leftovers};
use crate::support::durations::shown;

/// Time from TERM to KILL for processes left behind, and from KILL until they are given up.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

/// What remains of the drain time and of the leftovers' grace once the attempt's deadline has passed.
const LATE_DRAIN: Duration = Duration::from_secs(1);
const LATE_LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// After this many looks in a row without data and without a visible holder, an invisible process must hold the pipe:
/// one in another container of the pod that got the descriptor.
const SILENT_LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(100);

/// How long each part may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Deadline of the attempt.
    pub(super) deadline: Option<Instant>,
    /// How long processes left behind may run before they get TERM.
    pub(super) drain: Duration,
    /// The same after a stop.
    pub(super) grace: Duration,
}

/// The output of one command that has ended.
#[derive(Debug)]
pub(super) struct Drain<'a> {
    /// The command, for messages.
    pub(super) name: &'a str,
    pub(super) tee: &'a Tee,
    pub(super) patience: Patience,
    pub(super) ending: &'a Ending,
    /// The inode numbers of its pipes.
    pub(super) inodes: &'a [u64],
    pub(super) drained: oneshot::Receiver<()>,
}

impl Drain<'_> {
    pub(super) async fn run(mut self, supervisor: &mut Supervisor) {
        if self.by_itself(supervisor).await || self.by_force(supervisor).await {
            return;
        }
        let seen = !leftovers(self.ending.group, self.inodes).is_empty();
        if seen || self.ending.timed_out || supervisor.stop_requested() || !self.by_patience(supervisor).await
        {
            self.tee.detach();
        }
    }

    /// Waits for processes left behind. After a stop they get the command's grace; a second stop goes on to the next,
    /// harder step at once.
    async fn by_itself(&mut self, supervisor: &mut Supervisor) -> bool {
        let patience = self.patience;
        let (requested, tee, name, ending) = (supervisor.stopped(), self.tee, self.name, self.ending);
        let stopped = async move {
            let stop = requested.await;
            // The command's own stop was announced already.
            if !ending.stopped {
                tee.note(&format!("{stop}: what {name} left has {} to end", shown(patience.grace)));
            }
            if !ending.killed {
                tokio::time::sleep(patience.grace).await;
            }
        };
        let wait = async {
            tokio::select! {
                biased;
                _ = &mut self.drained => true,
                () = tokio::time::sleep(within(patience.deadline, patience.drain, LATE_DRAIN)) => false,
                () = stopped => false,
            }
        };
        matches!(supervisor.attend(wait).await, Ok(true))
    }

    /// Sends TERM, then KILL, to whoever holds the output, and says so in the log.
    async fn by_force(&mut self, supervisor: &mut Supervisor) -> bool {
        for (signal, verb, what) in
            [(libc::SIGTERM, "still holds", "TERM"), (libc::SIGKILL, "ignored TERM and holds", "KILL")]
        {
            let found = leftovers(self.ending.group, self.inodes);
            if found.is_empty() {
                return false;
            }
            let names: Vec<String> = found.iter().map(ToString::to_string).collect();
            let (name, names) = (self.name, names.join(", "));
            self.tell(&format!("{name} has ended and left {names}, which {verb} its output; sending {what}"));
            end_leftovers(self.ending.group, &found, signal);
            let grace = within(self.patience.deadline, LEFTOVER_GRACE, LATE_LEFTOVER_GRACE);
            let wait = tokio::time::timeout(grace, &mut self.drained);
            if let Ok(Ok(_)) = supervisor.attend(wait).await {
                return true;
            }
        }
        false
    }

    /// No process is seen to hold the pipe: the log or stdout is slow, or the holder is invisible from here.
    async fn by_patience(&mut self, supervisor: &mut Supervisor) -> bool {
        let (stop, deadline) = (supervisor.stop_token(), self.patience.deadline);
        let late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let wait = async {
            tokio::select! {
                biased;
                _ = &mut self.drained => Some(true),
                () = stop.cancelled() => Some(false),
                () = late => Some(false),
                () = silence(self.tee) => None,
            }
        };
        match supervisor.attend(wait).await {
            Ok(Some(drained)) => drained,
            Ok(None) => {
                let name = self.name;
                self.tell(&format!(
                    "{name} has ended, and a process that cannot be seen from here holds its output; what that still says is lost"
                ));
                false
            }
            Err(_) => false,
        }
    }

    fn tell(&self, text: &str) {
        self.tee.note(text);
    }
}

/// Returns when the tee has been idle for a while.
async fn silence(tee: &Tee) {
    let mut silent = 0;
    while silent < SILENT_LOOKS {
        tokio::time::sleep(LOOK).await;
        silent = if tee.is_idle() { silent + 1 } else { 0 };
    }
}

/// `most`, but at most `late` past the attempt's deadline.
fn within(deadline: Option<Instant>, most: Duration, late: Duration) -> Duration {
    deadline.map_or(most, |end| most.min(end.saturating_duration_since(Instant::now()).max(late)))
}
