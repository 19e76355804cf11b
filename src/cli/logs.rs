//! `hook-runner logs`.

use super::place::Place;

/// Read a preserved log: the last run, a given one, what failed, all
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// The run with this id (its beginning is enough) in place of the last
    #[arg(long, value_name = "ID", conflicts_with_all = ["all"])]
    pub run: Option<String>,
    /// Only this attempt of the run
    #[arg(long, value_name = "N", conflicts_with_all = ["all", "failed"])]
    pub attempt: Option<u32>,
    /// Only attempts that did not succeed
    #[arg(long)]
    pub failed: bool,
    /// Every run that is kept, oldest first
    #[arg(long)]
    pub all: bool,
    /// Print what is added until the attempt ends
    #[arg(long, short, conflicts_with_all = ["all", "failed", "json"])]
    pub follow: bool,
    /// Only what the command printed, without headers and footers
    #[arg(long, conflicts_with_all = ["json", "follow"])]
    pub raw: bool,
    /// One JSON object per attempt, the output in it
    #[arg(long)]
    pub json: bool,
}
