//! `hook-runner install`.

use std::path::PathBuf;

/// Copy this binary into a directory that another container shares
#[derive(Debug, clap::Args)]
pub struct Install {
    /// The directory
    pub dir: PathBuf,
}
