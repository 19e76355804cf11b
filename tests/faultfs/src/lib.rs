//! faultfs: a directory shown through FUSE, with faults that can be switched on and off while it is mounted.
//!
//! Two halves share this crate. The daemon (`main.rs`) mounts and serves: [`passthrough`] answers the kernel, [`gate`] holds
//! the faults and is asked before every operation, [`control`] changes them over a Unix socket. The client ([`Mount`]) starts
//! the daemon for one test, speaks to that socket, and unmounts when it is dropped.
//!
//! Only tests and benchmarks use it; the program under test knows nothing of it.

mod attributes;
pub mod client;
pub mod control;
pub mod fault;
mod files;
pub mod gate;
mod inodes;
pub mod passthrough;

pub use client::Mount;
pub use fault::{Fault, Op, Rule};
pub use libc::{EACCES, EDQUOT, EINTR, EIO, EMFILE, ENOSPC, ENOTSUP, EPERM, EROFS, ESTALE, ETIMEDOUT, EXDEV};
