//! Whether an attempt ended, is running or was interrupted: decided from the log, and without a footer from the lock.

use super::records::Records;
use super::shard::group;
use crate::volume::Attempt;
use crate::volume::lock::AtWork;

/// The state of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has a footer.
    Ended,
    /// No footer, and its run holds the lock.
    Running,
    /// No footer, and nobody holds the lock.
    Interrupted,
    /// No footer, and the lock is unknown: a log without its volume, or a volume without locks.
    Unfinished,
}

impl State {
    /// The state of `attempt` of `records`.
    pub(super) fn of(records: &Records, attempt: &Attempt) -> Self {
        if attempt.ended.is_some() {
            return Self::Ended;
        }
        let run = &attempt.started.run;
        let last = records.attempts.iter().rfind(|known| known.started.run == *run);
        let is_last = last.is_none_or(|last| last.started.attempt == attempt.started.attempt);
        match &records.at_work {
            AtWork::Unknown if is_last => Self::Unfinished,
            AtWork::Yes(holder) if is_last && group(&holder.run) == group(run) => Self::Running,
            _ => Self::Interrupted,
        }
    }
}
