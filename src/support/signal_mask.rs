//! The signal mask of a thread, through raw system calls: the C libraries keep two or three real-time signals (32 to 34)
//! for themselves and leave them out of every set they are given, while another process may well send them.

use std::io;

use nix::libc;

/// Bytes of a signal set as the kernel takes it (sigprocmask(2): `_NSIG / 8`).
pub(crate) const KERNEL_SIGSET: usize = size_of::<u64>();

/// Every signal.
pub(crate) const ALL: u64 = u64::MAX;

/// Blocks all signals in this thread; returns what was blocked before, bit n-1 for signal n.
pub(crate) fn block_all() -> io::Result<u64> {
    let all = ALL;
    let mut before = 0_u64;
    // SAFETY: both pointers are to 8 bytes that live across the call, as the size given says.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            &raw mut before,
            KERNEL_SIGSET,
        )
    };
    if rc == 0 { Ok(before) } else { Err(io::Error::last_os_error()) }
}

/// To be called first by each thread that lives while a command does: a signal that is unblocked in any thread is not
/// read from the supervisor's descriptor, and `pthread_create(3)` unblocks what the C library keeps for itself.
pub(crate) fn block_signals() {
    // It cannot fail: both arguments are right, and the kernel takes KILL and STOP out of the set by itself.
    let _ = block_all();
}
