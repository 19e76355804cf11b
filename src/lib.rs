//! hook-runner: runs a Helm hook in its pod. It copies content from an image onto a volume, runs the
//! hook's command, tees everything that is printed to a log on the volume and to the pod's log, and
//! exits 0 only when every step succeeded and both are durable.
//!
//! On other systems than Linux the library is empty: reading a volume needs Linux's system calls, too. The plugin
//! (`src/bin/kubectl-hook_log`) builds there, and has a pod read the volume.
//!
//! Data flow: cli -> commands -> hook -> attempt -> steps -> (copy | process -> output) -> volume -> exit.

#![cfg(target_os = "linux")]

mod attempt;
mod cli;
mod commands;
mod copy;
mod diagnostics;
mod exit;
mod history;
mod hook;
mod http;
mod kubernetes;
mod output;
mod process;
mod steps;
mod support;
mod volume;

/// The program: the exit status of the process.
pub fn main() -> std::process::ExitCode {
    commands::run()
}

/// What tests and fuzz targets take hold of. No part of the interface.
#[cfg(feature = "internals")]
pub mod internals {
    pub use crate::exit::TABLE as EXIT_STATUS_TABLE;
    pub use crate::hook::wait::Wait;
    pub use crate::http::Roots;
    pub use crate::kubernetes::{Access, Ended, Failure, Follow, Pace, follow};
    pub use crate::output::Redactor;
    pub use crate::steps::wait::{Met, NotMet, until};
    pub use crate::support::observed::Observed;
    pub use crate::support::rooted_dir::Dir;
}
