//! The signals of this process: all are blocked and read from a signalfd; the earlier state is kept for the command.
//! Changes the signal mask and one disposition (SIGCHLD); does not know what a signal means.
//!
//! The mask is set with raw system calls: C libraries reserve two or three real-time signals (32 to 34) and leave them
//! out of every set, but another process can send them (34 is glibc's SIGRTMIN). Nothing here uses what they are
//! reserved for (thread cancellation, setuid in all threads). musl's `posix_spawn(3)` unblocks them when it restores
//! the mask: they are ignored for that moment and then blocked again, and the command gets the earlier disposition. In
//! both libraries a new thread starts with some of them unblocked and would take them from the signalfd, so it blocks
//! them first (`support::signal_mask`); one that arrives before that is lost.

use nix::libc;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::signal_mask::{ALL, KERNEL_SIGSET, block_all};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The signals that musl and glibc reserve.
const KEPT_BY_LIBC: [i32; 3] = [32, 33, 34];

/// Whether SIGPIPE was ignored when this process started. Read before `main`, because the standard library ignores
/// SIGPIPE before it calls `main`.
static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

extern "C" fn remember_sigpipe() {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: sigaction(2) with a null action only writes the current one into `action`.
    if unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) } == 0 {
        // SAFETY: the call succeeded, so the kernel has filled it.
        let action = unsafe { action.assume_init() };
        SIGPIPE_WAS_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Ordering::Relaxed);
    }
}

// SAFETY: the loader calls the functions in this section before `main`. This one makes a system call and sets a flag,
// which need no initialization.
#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER_SIGPIPE: extern "C" fn() = remember_sigpipe;

/// The signal state to restore for the command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// The blocked signals, bit n-1 for signal n.
    pub(super) mask: u64,
    pub(super) sigpipe_ignored: bool,
    /// Signals that are ignored here but were not before: the command must get the default action. Bits as in `mask`.
    pub(super) to_default: u64,
    /// The parent left SIGCHLD ignored. The kernel would then reap the command, and its status would be lost.
    pub(super) sigchld_ignored: bool,
}

#[derive(Debug)]
pub(super) struct Signals {
    fd: OwnedFd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) signal: i32,
    /// Process id of the sender in this namespace; 0 for the kernel or a process outside the namespace.
    pub(super) sender: u32,
    /// The origin (`si_code`, sigaction(2)).
    pub(super) code: i32,
}

impl Signals {
    /// Blocks every signal and opens the signalfd. Call it before any thread is started: threads inherit the mask.
    pub(super) fn block() -> io::Result<(Self, Before)> {
        let mask = block_all()?;
        let all = ALL;
        // SAFETY: as above; the call returns a new descriptor or -1.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_signalfd4,
                -1,
                &raw const all,
                KERNEL_SIGSET,
                libc::SFD_NONBLOCK | libc::SFD_CLOEXEC,
            )
        };
        let fd = RawFd::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the default action is no handler.
        let chld = unsafe {
            sigaction(Signal::SIGCHLD, &SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty()))
        }?;
        let sigpipe_ignored = SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed);
        let mut to_default = if sigpipe_ignored { 0 } else { bit(libc::SIGPIPE) };
        for signal in KEPT_BY_LIBC {
            if !set_action(signal, libc::SIG_IGN)? {
                to_default |= bit(signal);
            }
        }
        let before = Before {
            mask,
            sigpipe_ignored,
            to_default,
            sigchld_ignored: matches!(chld.handler(), SigHandler::SigIgn),
        };
        Ok((Self { fd }, before))
    }

    /// The next pending signal, if any.
    pub(super) fn next(&self) -> io::Result<Option<Received>> {
        let mut info = std::mem::MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` has room for `size` bytes.
        let n = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if n < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        }
        // SAFETY: plain data, zeroed before, filled by the kernel (signalfd(2): only whole structures).
        let info = unsafe { info.assume_init() };
        let signal = i32::try_from(info.ssi_signo).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Some(Received { signal, sender: info.ssi_pid, code: info.ssi_code }))
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Sets the action of a signal that the C library reserves to ignore or default. Returns whether it was ignored before.
fn set_action(signal: i32, handler: libc::sighandler_t) -> io::Result<bool> {
    // The kernel's structure (asm/signal.h): handler, flags, restorer, mask; a word each on 64-bit systems. SIG_IGN and
    // SIG_DFL need no more.
    let action = [handler as u64, 0, 0, 0];
    let mut before = [0_u64; 4];
    // SAFETY: both pointers are to structures of the kernel's size that live across the call.
    let rc = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), before.as_mut_ptr(), KERNEL_SIGSET)
    };
    if rc == 0 { Ok(before[0] == libc::SIG_IGN as u64) } else { Err(io::Error::last_os_error()) }
}

/// For a child before exec: restores the C library's reserved signals. One may have a handler by now: glibc sets one
/// when the first thread starts.
pub(super) fn restore_kept(to_default: u64) -> io::Result<()> {
    for signal in KEPT_BY_LIBC {
        let was = if to_default & bit(signal) == 0 { libc::SIG_IGN } else { libc::SIG_DFL };
        set_action(signal, was)?;
    }
    Ok(())
}

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Sends any signal, also a real-time one, to a process (`target` > 0) or a process group (`target` < 0). A missing
/// target is no error: it may end at any moment.
pub(super) fn send(target: i32, signal: i32) {
    // SAFETY: kill(2) takes two numbers.
    unsafe { libc::kill(target, signal) };
}

/// Converts a kernel mask to the C library's set, including the bits that it would leave out.
pub(super) fn as_sigset(mask: u64) -> SigSet {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: on every Linux libc a signal set is an array of words whose first 8 bytes are the kernel's set.
    unsafe { set.as_mut_ptr().cast::<u64>().write_unaligned(mask) };
    // SAFETY: zeroed, then filled; any bits are a valid set.
    unsafe { SigSet::from_sigset_t_unchecked(set.assume_init()) }
}
