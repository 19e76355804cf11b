//! The signals of this process: all of them blocked and read from one signalfd, the state from before kept for the
//! command. May touch the signal mask and one disposition (SIGCHLD); must not know what a signal means to anyone.
//!
//! The mask goes through raw system calls: the C libraries keep two or three real-time signals (32 to 34) for
//! themselves and leave them out of every set they are given, while another process may well send them (34 is
//! glibc's SIGRTMIN). Nothing here uses what they are kept for (thread cancellation, setuid in all threads).
//! musl's `posix_spawn(3)` unblocks them when it restores the mask; they are ignored for that moment and blocked again
//! after it, and the command gets the disposition that was there before. A new thread has some of them unblocked in
//! either library, and would take them away from the descriptor: it blocks them first (`support::signal_mask`). One of
//! these three that comes before it has done so is lost.

use nix::libc;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::signal_mask::{ALL, KERNEL_SIGSET, block_all};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// What musl and glibc use inside.
const KEPT_BY_LIBC: [i32; 3] = [32, 33, 34];

/// Whether SIGPIPE was ignored when this process was started. Read before `main`, because the standard library
/// ignores SIGPIPE before it calls `main`.
static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

extern "C" fn remember_sigpipe() {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: sigaction(2) with a null new action only writes the old one into `action`.
    if unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) } == 0 {
        // SAFETY: the call succeeded, so the kernel has filled it.
        let action = unsafe { action.assume_init() };
        SIGPIPE_WAS_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Ordering::Relaxed);
    }
}

// SAFETY: the loader calls the functions of this section before `main`; this one makes one system call and stores
// one flag, neither of which needs anything that `main` sets up.
#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER_SIGPIPE: extern "C" fn() = remember_sigpipe;

/// What the command must find as the runner found it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// The blocked signals, bit n-1 for signal n.
    pub(super) mask: u64,
    pub(super) sigpipe_ignored: bool,
    /// Signals that are ignored here and were not before: the command must find their default action. Bits as in
    /// `mask`.
    pub(super) to_default: u64,
    /// A parent may have left SIGCHLD ignored; then the kernel would reap the command and its status would be lost.
    pub(super) sigchld_ignored: bool,
}

/// All signals, read one by one.
#[derive(Debug)]
pub(super) struct Signals {
    fd: OwnedFd,
}

/// One signal as it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) signal: i32,
    /// Process id of the sender in this namespace; 0 from the kernel and from outside the namespace.
    pub(super) sender: u32,
    /// Where it came from (`si_code`, sigaction(2)).
    pub(super) code: i32,
}

impl Signals {
    /// Blocks every signal that can be blocked and opens the descriptor they are read from. To be called while there
    /// is one thread: later threads inherit the mask.
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
        // SAFETY: the default action is not a handler.
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

    /// The next signal that is there, if any.
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
        // SAFETY: plain data, zeroed before and filled by the kernel (signalfd(2): whole structures only).
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

/// Ignores a signal that the C library does not let anyone touch, or sets its default action; returns whether it was
/// ignored before.
fn set_action(signal: i32, handler: libc::sighandler_t) -> io::Result<bool> {
    // The kernel's structure (asm/signal.h): handler, flags, restorer, mask; a word each on 64-bit systems. SIG_IGN
    // and SIG_DFL need nothing but themselves.
    let action = [handler as u64, 0, 0, 0];
    let mut before = [0_u64; 4];
    // SAFETY: both pointers are to structures of the kernel's size that live across the call.
    let rc = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), before.as_mut_ptr(), KERNEL_SIGSET)
    };
    if rc == 0 { Ok(before[0] == libc::SIG_IGN as u64) } else { Err(io::Error::last_os_error()) }
}

/// In a child about to execute the command: what the C library keeps for itself, as it was before. One may have a
/// handler by now: glibc sets one when the first thread is made.
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

/// Sends any signal, real-time ones included, to a process (`target` > 0) or a process group (`target` < 0).
/// A target that is gone is no error: it may end at any moment.
pub(super) fn send(target: i32, signal: i32) {
    // SAFETY: kill(2) takes two numbers.
    unsafe { libc::kill(target, signal) };
}

/// A kernel mask as the C library's set, with the bits it would leave out.
pub(super) fn as_sigset(mask: u64) -> SigSet {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a signal set is an array of words of which the first 8 bytes are the kernel's set, on every Linux libc.
    unsafe { set.as_mut_ptr().cast::<u64>().write_unaligned(mask) };
    // SAFETY: zeroed, then filled; any bits are a valid set.
    unsafe { SigSet::from_sigset_t_unchecked(set.assume_init()) }
}
