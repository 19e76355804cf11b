//! faultfs: a directory shown through FUSE, with faults that can be switched on and off while it is mounted.
//!
//! Two halves share this crate. The daemon (`main.rs`) mounts and serves: [`passthrough`] answers the kernel, [`manners`] says what kind of volume it is, [`gate`] holds
//! the faults and is asked before every operation, [`control`] changes them over a Unix socket. The client ([`Mount`]) starts
//! the daemon for one test, speaks to that socket, and unmounts when it is dropped.
//!
//! Only tests and benchmarks use it; the program under test knows nothing of it.

mod attributes;
mod backing;
pub mod client;
pub mod control;
pub mod fault;
mod files;
pub mod gate;
mod inodes;
pub mod manners;
pub mod passthrough;
mod serve;

pub use client::Mount;
pub use fault::{Fault, Op, Rule};
pub use libc::{
    EACCES, EBUSY, EDQUOT, EINTR, EINVAL, EIO, EMFILE, ENOSPC, ENOTSUP, EPERM, EROFS, ESTALE, ETIMEDOUT,
    EXDEV,
};
pub use manners::Manner;
