//! The exit-status contract: one enum, one table. Every end of the program is one of these kinds; the numbers are known
//! only here.
//!
//! 69, 74, 75 and 78 come from sysexits.h(3); 124, 126 and 127 from timeout(1) and the shell (POSIX XCU 2.8.2), as does
//! 128+n for a death by signal n.

use serde::{Deserialize, Serialize};

/// Why the program did not succeed. Each kind has one status and one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The command ran and exited with this status (1 to 255).
    Command(u8),
    /// The command died of this signal.
    Signal(u8),
    /// A wait condition was not met in its time.
    WaitUnmet,
    /// The copy or the preserved log failed: no-space, read-only, stale, io.
    Io,
    /// Another run holds the volume's lock beyond the lock timeout.
    Locked,
    /// The hook itself is wrong: flags, hook file, missing source, unusable destination.
    Config,
    /// The attempt or a step ran out of time.
    Timeout,
    /// The command exists and cannot be executed.
    CannotExecute,
    /// The command was not found.
    NotFound,
    /// A signal stopped the runner before its work was done.
    Stopped(u8),
    /// A fault in hook-runner itself (a panic).
    Fault,
}

impl Kind {
    /// The exit status.
    pub const fn status(self) -> u8 {
        match self {
            Self::Command(status) => status,
            Self::Signal(signal) | Self::Stopped(signal) => 128_u8.saturating_add(signal),
            Self::WaitUnmet => 69,
            Self::Fault => 70,
            Self::Io => 74,
            Self::Locked => 75,
            Self::Config => 78,
            Self::Timeout => 124,
            Self::CannotExecute => 126,
            Self::NotFound => 127,
        }
    }

    /// One word for tables and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Signal(_) => "signal",
            Self::Stopped(_) => "stopped",
            Self::WaitUnmet => "wait-unmet",
            Self::Fault => "fault",
            Self::Io => "io",
            Self::Locked => "locked",
            Self::Config => "config",
            Self::Timeout => "timeout",
            Self::CannotExecute => "cannot-execute",
            Self::NotFound => "not-found",
        }
    }
}

/// Why a command or an attempt failed.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The kind of failure, which decides the exit status.
    #[serde(skip)]
    pub kind: Kind,
    /// A more precise word, if any: no-space, read-only, stale, io.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// What failed, on what, and why.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, cause: None, message: message.into(), advice: String::new() }
    }

    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    #[must_use]
    pub fn because(mut self, cause: &'static str) -> Self {
        self.cause = Some(cause);
        self
    }

    /// The message in one line: what, where, why, what to do.
    pub fn sentence(&self) -> String {
        if self.advice.is_empty() {
            self.message.clone()
        } else {
            format!("{}; {}", self.message, self.advice)
        }
    }
}

/// The table in `--help` and in the README: status, meaning, and the action for a Job's podFailurePolicy (KEP-3329:
/// `Count` retries within backoffLimit, `FailJob` does not).
pub const TABLE: &[(&str, &str, &str)] = &[
    ("0", "every step succeeded; content and log are durable", "-"),
    ("the command's own", "the command ran and exited so", "Count"),
    ("128+n", "the command died of signal n, or the runner was stopped by it", "Count"),
    ("69", "a wait condition was not met in its time", "Count"),
    ("70", "a fault of hook-runner itself, a panic too", "Count"),
    ("74", "I/O: the copy or the preserved log failed", "Count"),
    ("75", "another run holds the volume's lock beyond --lock-timeout", "Count"),
    ("78", "the hook is wrong (flags, environment, file, copy); nothing is changed", "FailJob"),
    ("124", "the attempt or a step ran out of time", "Count"),
    ("126, 127", "the command cannot be executed; is not found", "FailJob"),
];

/// The table as text for `--help`.
pub fn help() -> String {
    let mut text = String::from("Exit status (and what a podFailurePolicy should do with it):\n");
    for (status, meaning, policy) in TABLE {
        use std::fmt::Write as _;
        let _ = writeln!(text, "  {status:<18} {meaning:<70} {policy}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_documented_status() {
        let rows = [
            (Kind::Command(3), 3),
            (Kind::Signal(15), 143),
            (Kind::WaitUnmet, 69),
            (Kind::Io, 74),
            (Kind::Locked, 75),
            (Kind::Config, 78),
            (Kind::Timeout, 124),
            (Kind::CannotExecute, 126),
            (Kind::NotFound, 127),
        ];
        for (kind, status) in rows {
            assert_eq!(kind.status(), status, "{kind:?}");
        }
    }
}
