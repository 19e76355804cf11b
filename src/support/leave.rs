//! How the program ends. Two processes end elsewhere: the one that runs out of memory (`main/linux.rs`) and the child that
//! only holds descriptors (`process/fd_holder.rs`).

/// Ends the process at once. `std::process::exit` and a return from `main` run destructors, which can wait for a thread
/// that hangs on a volume. No output is buffered here, so none is lost.
pub(crate) fn leave(status: u8) -> ! {
    // SAFETY: takes a number and never returns.
    unsafe { nix::libc::_exit(status.into()) }
}
