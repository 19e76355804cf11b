//! `hook-runner history`.

use super::place::Place;

/// One row per attempt: when, release, revision, result, duration, files copied
#[derive(Debug, clap::Args)]
pub struct History {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// One JSON object per attempt
    #[arg(long)]
    pub json: bool,
}
