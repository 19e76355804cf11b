//! hook-runner runs a Helm hook in its pod. It copies content from an image onto a volume, runs the hook's command,
//! writes everything printed both to a log on the volume and to the pod's log, and exits 0 only when every step
//! succeeded and content and log are durable.
//!
//! On systems other than Linux the library is empty, and `main.rs` has the commands that read (`off_linux/`).
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

/// Runs the program and returns its exit status.
pub fn main() -> std::process::ExitCode {
    commands::run()
}

/// What tests and fuzz targets use. Not part of the interface.
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
