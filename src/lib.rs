//! hook-runner: runs a Helm hook in its pod. It copies content from an image onto a volume, runs the
//! hook's command, tees everything that is printed to a log on the volume and to the pod's log, and
//! exits 0 only when every step succeeded and both are durable.
//!
//! The way of the data: cli -> hook -> (copy | process -> output) -> store -> exit.

mod aside;
pub mod beneath;
pub mod cli;
pub mod copy;
pub mod diagnostics;
pub mod exit;
pub mod history;
pub mod hook;
pub mod http;
pub mod install;
pub mod output;
pub mod pages;
pub mod process;
pub mod sidecar;
pub mod store;
