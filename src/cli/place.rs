//! Which preserved log the reading commands read.

use std::path::PathBuf;

/// Where a preserved log is.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// A log, the directory of logs, an archived log, or - for standard input
    #[arg(value_name = "LOG|DIR", env = "HOOK_RUNNER_LOG", default_value = ".", hide_env_values = true)]
    pub log: PathBuf,
    /// The state directory [default: .hook-runner beside the log]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,
}
