//! hook-runner on systems without Linux: the commands that read a preserved log or check a hook file.
//!
//! Files that need no Linux are shared; this directory lists them and has stand-ins for the rest. It is also built on
//! Linux, as the example `off-linux`, so that tests can compare the two programs.

// Shared files also contain what only a run needs.
#![allow(dead_code, unused_imports)]
// A stand-in has the names and signatures of the original.
#![allow(clippy::unused_self, clippy::unnecessary_wraps, clippy::struct_field_names)]

#[path = "../cli/mod.rs"]
pub mod cli;
pub mod commands;
pub mod copy;
#[path = "../exit.rs"]
pub mod exit;
#[path = "../history/mod.rs"]
pub mod history;
#[path = "../hook/mod.rs"]
pub mod hook;
pub mod http;
pub mod kubernetes;
pub mod output;
pub mod support;
pub mod volume;

pub use commands::run;
