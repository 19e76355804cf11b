//! `hook-runner install`.

use std::path::PathBuf;

use super::termination::Termination;

/// Copy this binary into a directory that another container shares
#[derive(Debug, clap::Args)]
pub struct Install {
    /// The directory
    pub dir: PathBuf,
    /// Where the summary goes.
    #[command(flatten)]
    pub termination: Termination,
}
