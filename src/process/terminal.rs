//! Hands the controlling terminal, if there is one, to the command's process group or session, and takes it back.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::unistd::{Pid, getpgrp, getpid, getppid, getsid, tcgetpgrp, tcsetpgrp};
// The standard library's handles allocate buffers.
use rustix::stdio::{stderr, stdin, stdout};

/// The terminal on a standard descriptor, with this process in its foreground.
#[derive(Debug)]
pub(super) struct Terminal {
    /// 0, 1 or 2.
    which: usize,
    own_group: Pid,
}

impl Terminal {
    /// `None` if no standard descriptor is our controlling terminal, or if we run in its background: then it is not
    /// ours to give.
    pub(super) fn held() -> Option<Self> {
        let own_group = getpgrp();
        (0..3).find(|&which| foreground(which) == Ok(own_group)).map(|which| Self { which, own_group })
    }

    /// Makes `group` the foreground group. Permitted from the background because SIGTTOU is blocked (tcsetpgrp(3)).
    pub(super) fn give(&self, group: Pid) {
        // Fails if the terminal has gone away; then nobody waits for it.
        let _ = match self.which {
            0 => tcsetpgrp(stdin(), group),
            1 => tcsetpgrp(stdout(), group),
            _ => tcsetpgrp(stderr(), group),
        };
    }

    /// Gives it again after a stop, if the shell that continued us has put us into the foreground.
    pub(super) fn give_again(&self, group: Pid) {
        if self.is_foreground(self.own_group) {
            self.give(group);
        }
    }

    pub(super) fn take(&self) {
        self.give(self.own_group);
    }

    pub(super) fn is_foreground(&self, group: Pid) -> bool {
        foreground(self.which) == Ok(group)
    }
}

/// The controlling terminal of the session that this process leads, given up for the command's session: a terminal
/// belongs to one session at a time (`ioctl_tty(2)`). PID 1 of a container with a terminal leads a session; a process
/// started from a shell does not, and the terminal stays the shell's.
#[derive(Debug)]
pub(super) struct SessionTerminal(OwnedFd);

impl SessionTerminal {
    /// Gives it up. The kernel then sends SIGHUP and SIGCONT to the foreground group, which is ours; as signals of our
    /// own making they are not forwarded.
    pub(super) fn give_up() -> Option<Self> {
        if getsid(None) != Ok(getpid()) {
            return None;
        }
        // tcgetpgrp(3) fails for a terminal that is not this process's controlling one.
        let terminal = match (0..3).find(|&which| foreground(which).is_ok())? {
            0 => stdin().try_clone_to_owned(),
            1 => stdout().try_clone_to_owned(),
            _ => stderr().try_clone_to_owned(),
        };
        let terminal = terminal.ok()?;
        // SAFETY: the request takes no argument.
        let given = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) };
        (given == 0).then_some(Self(terminal))
    }

    /// The descriptor through which the command's session takes it.
    pub(super) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Takes it back. Fails while the command's session has it, which then could not be killed.
    pub(super) fn take_back(&self) {
        let _ = make_controlling(self.descriptor());
    }
}

/// Makes `terminal` the controlling terminal of the session that this process leads, and its group the foreground
/// group, unless another session has it.
pub(super) fn make_controlling(terminal: RawFd) -> io::Result<()> {
    // SAFETY: takes a number; 0 means that it is not taken from another session.
    let made = unsafe { libc::ioctl(terminal, libc::TIOCSCTTY, 0) };
    if made == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether a shell with job control could continue us after a stop. A session leader (PID 1 of a container with a
/// terminal) has none.
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
