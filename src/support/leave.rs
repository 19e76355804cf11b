//! The only place that calls `_exit`.

/// Ends the process at once. `std::process::exit` and a return from `main` run destructors, which can wait for a thread in a
/// call on a hung volume. Nothing is buffered that would be lost.
pub(crate) fn leave(status: u8) -> ! {
    // SAFETY: a number; nothing of the program runs after it.
    unsafe { nix::libc::_exit(status.into()) }
}
