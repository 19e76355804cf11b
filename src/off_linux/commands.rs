//! The commands that read, check and describe. All others answer that they need Linux.

#[path = "../commands/check.rs"]
mod check;
#[path = "../commands/completions/mod.rs"]
mod completions;
#[path = "../commands/dashed.rs"]
mod dashed;
#[path = "../commands/diff.rs"]
mod diff;
#[path = "../commands/environment.rs"]
mod environment;
#[path = "../commands/examples.rs"]
mod examples;
#[path = "../commands/history.rs"]
mod history;
#[path = "../commands/logs.rs"]
mod logs;
#[path = "../commands/man/mod.rs"]
mod man;
#[path = "../commands/not_utf8.rs"]
mod not_utf8;
#[path = "../commands/pager.rs"]
mod pager;
#[path = "../commands/panic.rs"]
mod panic;
#[path = "../commands/parse.rs"]
mod parse;
#[path = "../commands/read.rs"]
mod read;
#[path = "../commands/report.rs"]
mod report;
#[path = "../commands/say.rs"]
mod say;
#[path = "../commands/start.rs"]
mod start;
#[path = "../commands/usage.rs"]
mod usage;

use std::process::ExitCode;

/// Parses the command line and runs its command. There is no pod here, and so no termination message.
pub fn run() -> ExitCode {
    start::start(read::call, |_, _| {})
}
