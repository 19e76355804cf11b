//! hook-runner where there is no Linux: the commands that read a preserved log and check a hook file.
//!
//! The files that need no Linux are the same as on Linux; this directory lists them and has stand-ins for what they ask of
//! the others. It is built on Linux, too, as the example `off-linux`, so that tests can compare the two programs.

// What only a run needs is here because it stands in the same file as what is read.
#![allow(dead_code, unused_imports)]
// A stand-in has the names and signatures that it stands in for.
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
