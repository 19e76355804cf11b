//! `hook-runner run`.

use std::path::PathBuf;

use crate::hook::layer::Layer;

/// Run a hook: its steps in order, its output preserved
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Take the hook from FILE (YAML); flags and environment override it
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_HOOK")]
    pub hook: Option<PathBuf>,
    /// What the command line and the environment say.
    #[command(flatten)]
    pub layer: Layer,
}
