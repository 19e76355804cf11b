//! The state of the tee's thread, readable while the thread hangs.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::failure::LogFailure;
use super::report::Report;
use crate::support::cause::Cause;

#[derive(Debug, Default)]
pub(super) struct Progress {
    doing: AtomicU8,
    log_bytes: AtomicU64,
    log_missed: AtomicU64,
    hurries: AtomicBool,
}

pub(super) const IDLE: u8 = 0;
pub(super) const WRITING_LOG: u8 = 1;
pub(super) const WRITING_STDOUT: u8 = 2;

impl Progress {
    /// The report for a thread that did not finish. If the log has grown since it had `before` bytes of output, it is
    /// slow; otherwise it hangs.
    pub(super) fn unfinished(&self, before: u64) -> Report {
        let at = self.log_bytes();
        let mut report = Report {
            log_bytes: at,
            log_missed: self.log_missed.load(Ordering::Relaxed),
            ..Report::default()
        };
        if self.doing.load(Ordering::Relaxed) == WRITING_STDOUT {
            report.stdout_failure = Some("blocked".into());
            return report;
        }
        let (cause, message) = if at > before {
            (Cause::Io, "not all was written in time")
        } else {
            (Cause::Hung, "no answer in time")
        };
        report.log_failure = Some(LogFailure { cause, operation: "write", at, message: message.into() });
        report
    }

    /// The attempt ends: from now on nothing waits for a blocked stdout.
    pub(super) fn hurry(&self) {
        self.hurries.store(true, Ordering::Relaxed);
    }

    pub(super) fn hurries(&self) -> bool {
        self.hurries.load(Ordering::Relaxed)
    }

    /// Whether a write is in progress.
    pub(super) fn is_writing(&self) -> bool {
        self.doing.load(Ordering::Relaxed) != IDLE
    }

    pub(super) fn doing(&self, what: u8) {
        self.doing.store(what, Ordering::Relaxed);
    }

    /// Bytes of output in the log.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn log_is(&self, written: u64, missed: u64) {
        self.log_bytes.store(written, Ordering::Relaxed);
        self.log_missed.store(missed, Ordering::Relaxed);
    }
}
