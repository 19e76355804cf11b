//! hook-runner: runs a Helm hook in its pod. It copies content from an image onto a volume, runs the
//! hook's command, tees everything that is printed to a log on the volume and to the pod's log, and
//! exits 0 only when every step succeeded and both are durable.
//!
//! The way of the data: cli -> commands -> hook -> attempt -> steps -> (copy | process -> output) -> volume -> exit.

pub mod attempt;
pub mod cli;
mod commands;
pub mod copy;
pub mod diagnostics;
pub mod exit;
pub mod history;
pub mod hook;
pub mod http;
pub mod kubernetes;
pub mod output;
pub mod process;
pub mod steps;
pub mod support;
pub mod volume;

/// The program: the exit status of the process.
pub fn main() -> std::process::ExitCode {
    commands::run()
}
