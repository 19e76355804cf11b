//! `hook-runner report`.

use std::path::PathBuf;

use super::place::Place;
use super::which::Which;

/// Write one HTML file that loads nothing: the runs, their steps, their output
#[derive(Debug, clap::Args)]
pub struct Report {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// The file to write [default: standard output, unless that is a terminal]
    #[arg(short = 'o', long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Which attempts.
    #[command(flatten)]
    pub which: Which,
}
