//! `hook-runner verify`.

use std::path::PathBuf;

/// Compare a volume with what the last copy installed
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The directory on the volume
    pub destination: PathBuf,
    /// The state directory [default: .hook-runner in DST]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}
