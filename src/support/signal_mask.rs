//! The signal mask of a thread, through raw system calls: C libraries reserve two or three real-time signals (32 to 34)
//! and silently leave them out of every set, but another process can send them all the same.

use std::io;

use nix::libc;

/// Bytes of the kernel's signal set (sigprocmask(2): `_NSIG / 8`).
pub(crate) const KERNEL_SIGSET: usize = size_of::<u64>();

/// Every signal.
pub(crate) const ALL: u64 = u64::MAX;

/// Blocks all signals in this thread. Returns the previous mask: bit n-1 stands for signal n.
pub(crate) fn block_all() -> io::Result<u64> {
    let all = ALL;
    let mut before = 0_u64;
    // SAFETY: both pointers are valid for the 8 bytes that the last argument names.
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

/// Each thread that lives beside a command calls this first: a signal that any thread leaves unblocked does not reach
/// the supervisor's descriptor, and `pthread_create(3)` unblocks the C library's reserved signals.
pub(crate) fn block_signals() {
    // Cannot fail: the arguments are valid, and the kernel itself removes KILL and STOP from the set.
    let _ = block_all();
}
