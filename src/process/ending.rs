//! The time limits of a command, and how it ended.

use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// TERM is sent at this time; `None` means no limit.
    pub deadline: Option<Instant>,
    /// Time from a stop request or the deadline to KILL.
    pub grace: std::time::Duration,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its exit status.
    Exited(i32),
    /// The signal it died of.
    Signaled(i32),
}

impl Status {
    /// The status as a shell shows it: the exit status, or 128 + the signal (POSIX shell, 2.8.2).
    pub fn code(self) -> u8 {
        let code = match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        };
        u8::try_from(code & 0xff).unwrap_or(u8::MAX)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Its status.
    pub status: Status,
    /// Its process group, in which leftovers may still run.
    pub group: i32,
    /// It was still running at its deadline.
    pub timed_out: bool,
    /// TERM or INT came before it had ended by itself.
    pub stopped: bool,
    /// It had to be killed.
    pub killed: bool,
    /// It was killed before its grace was over, because a second signal to stop came.
    pub at_once: bool,
    /// It was killed but does not end (uninterruptible sleep); its status is assumed.
    pub stuck: bool,
    /// How many processes of the container the kernel's OOM killer ended meanwhile.
    pub oom_kills: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_shown_as_a_shell_shows_it() {
        assert_eq!(Status::Exited(3).code(), 3);
        assert_eq!(Status::Signaled(15).code(), 143);
        assert_eq!(Status::Signaled(64).code(), 192);
    }
}
