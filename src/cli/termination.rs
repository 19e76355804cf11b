//! The option of every command that runs as a pod's container.

use std::path::PathBuf;

/// Where the termination message goes.
#[derive(Debug, clap::Args)]
pub struct Termination {
    /// Where the summary goes as JSON [default: /dev/termination-log when it exists]
    #[arg(
        id = "termination-log",
        long = "termination-log",
        value_name = "FILE",
        env = "HOOK_RUNNER_TERMINATION_LOG"
    )]
    pub log: Option<PathBuf>,
}
