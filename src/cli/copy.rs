//! `hook-runner copy`.

use std::path::PathBuf;

use super::termination::Termination;
use crate::hook::copy_step::CopyStep;
use crate::hook::duration::Timespan;
use crate::hook::run_id::RunId;

/// Copy the contents of SRC into DST (an initContainer's job)
#[derive(Debug, clap::Args)]
pub struct Copy {
    /// The content directory in the image
    pub source: PathBuf,
    /// The directory on the volume
    pub destination: PathBuf,
    /// A state directory of version 0.1 to bring the manifest over from [default: .hook-runner in DST]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,
    /// The run's id, the same for all shards of a copy [default: from release and revision, else unique]
    #[arg(long, value_name = "ID", env = "HOOK_RUNNER_RUN_ID")]
    pub run_id: Option<RunId>,
    /// How long to wait for another run that holds the volume [default: 1m]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_LOCK_TIMEOUT")]
    pub lock_timeout: Option<Timespan>,
    /// Print what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one line for each entry that was installed, replaced, kept or removed, and why
    #[arg(long)]
    pub changes: bool,
    /// Print what was done as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Where the summary goes.
    #[command(flatten)]
    pub termination: Termination,
    /// The engine's options.
    #[command(flatten)]
    pub options: CopyStep,
}
