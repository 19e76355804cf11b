//! The controlling terminal, when there is one: handed to the command's process group and taken back.
//! May touch the terminal's foreground group only.

use nix::unistd::{Pid, getpgrp, getppid, getsid, tcgetpgrp, tcsetpgrp};
// Those of the standard library have buffers, which asking for a terminal would make.
use rustix::stdio::{stderr, stdin, stdout};

/// The terminal on one of the standard descriptors, of which this process was in the foreground.
#[derive(Debug)]
pub(super) struct Terminal {
    /// 0, 1 or 2.
    which: usize,
    own_group: Pid,
}

impl Terminal {
    /// None when no standard descriptor is our controlling terminal, or when we run in its background: then it is
    /// not ours to give.
    pub(super) fn held() -> Option<Self> {
        let own_group = getpgrp();
        (0..3).find(|&which| foreground(which) == Ok(own_group)).map(|which| Self { which, own_group })
    }

    /// Makes `group` the foreground group. Allowed from the background because SIGTTOU is blocked (tcsetpgrp(3)).
    pub(super) fn give(&self, group: Pid) {
        // A terminal that has gone away cannot be handed over, and nobody waits for it any more.
        let _ = match self.which {
            0 => tcsetpgrp(stdin(), group),
            1 => tcsetpgrp(stdout(), group),
            _ => tcsetpgrp(stderr(), group),
        };
    }

    /// Gives it again after a stop, when the shell that continued us has put us into the foreground.
    pub(super) fn give_again(&self, group: Pid) {
        if self.is_foreground(self.own_group) {
            self.give(group);
        }
    }

    /// Takes the terminal back.
    pub(super) fn take(&self) {
        self.give(self.own_group);
    }

    /// Whether `group` is in the foreground.
    pub(super) fn is_foreground(&self, group: Pid) -> bool {
        foreground(self.which) == Ok(group)
    }
}

/// Whether somebody above us could continue us after a stop: a shell with job control. A session leader (PID 1 of a
/// container with a terminal) has nobody.
pub(super) fn can_be_continued() -> bool {
    let me = nix::unistd::getpid();
    me.as_raw() != 1
        && getsid(None).is_ok_and(|session| session != me)
        && getsid(Some(getppid())).is_ok_and(|parents| getsid(None) == Ok(parents))
}

fn foreground(which: usize) -> nix::Result<Pid> {
    match which {
        0 => tcgetpgrp(stdin()),
        1 => tcgetpgrp(stdout()),
        _ => tcgetpgrp(stderr()),
    }
}
