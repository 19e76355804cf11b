//! `hook-runner diff`.

use std::path::PathBuf;

/// Show what a run changed on the volume, one line per entry as rsync -i prints
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// The run with this id, which may be shortened, instead of the last one; two: all runs after the first up to the second
    #[arg(value_name = "RUN", num_args = 0..=2)]
    pub run: Vec<String>,
    /// The log that the runs were preserved in, or the directory of logs
    #[arg(long, value_name = "LOG|DIR", env = "HOOK_RUNNER_LOG", default_value = ".", hide_env_values = true, value_hint = clap::ValueHint::AnyPath)]
    pub log: PathBuf,
    /// The state directory [default: .hook-runner beside the log]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,
    /// One JSON object per entry
    #[arg(long)]
    pub json: bool,
}
