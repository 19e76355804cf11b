//! `hook-runner report`.

use std::path::PathBuf;

use super::moment::Moment;
use super::place::Place;

/// Write one HTML file that loads nothing: the runs, their steps, their output
#[derive(Debug, clap::Args)]
pub struct Report {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Where it goes [default: standard output, if that is no terminal]
    #[arg(short = 'o', long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Only attempts that began since then: 2h ago, a date or a time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only attempts that began until then
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Only of this Helm release
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// Only of the log of this name
    #[arg(long = "log", value_name = "NAME")]
    pub log_name: Option<String>,
}
