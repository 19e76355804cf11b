//! `hook-runner logs`.

use regex_lite::Regex;

use super::expression::expression;
use super::moment::Moment;
use super::place::Place;
use crate::hook::number::whole_number;

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
    #[arg(long, value_name = "N", conflicts_with_all = ["all", "failed"], value_parser = whole_number::<u32>)]
    pub attempt: Option<u32>,
    /// Only attempts that did not succeed
    #[arg(long)]
    pub failed: bool,
    /// Every run that is kept, oldest first
    #[arg(long)]
    pub all: bool,
    /// Only attempts that began since then: 2h ago, a date or a time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only attempts that began until then
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Only the output of this step, counted from 1, without headers and footers
    #[arg(long, value_name = "N", conflicts_with = "follow", value_parser = whole_number::<usize>)]
    pub step: Option<usize>,
    /// Only lines of output that match this regular expression, without headers and footers
    #[arg(long, value_name = "REGEX", conflicts_with = "follow", value_parser = expression)]
    pub grep: Option<Regex>,
    /// Only so many lines of the output's end
    #[arg(long, short = 'n', value_name = "LINES", value_parser = whole_number::<usize>)]
    pub tail: Option<usize>,
    /// The time before each line: its own where the hook ran with --timestamps, else that of its step's begin
    #[arg(long, conflicts_with_all = ["json", "follow"])]
    pub timestamps: bool,
    /// The command's bytes alone, without headers, footers and the runner's own lines
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// Print what is added, through the Job's next attempt, until the run is over
    #[arg(long, short, conflicts_with_all = ["all", "failed", "json", "since", "until"])]
    pub follow: bool,
    /// With --follow: go on with the next run
    #[arg(long, requires = "follow", conflicts_with = "exit_status")]
    pub forever: bool,
    /// With --follow: end with the status with which the run ended (137 if it was interrupted)
    #[arg(long, requires = "follow")]
    pub exit_status: bool,
    /// One JSON object per attempt, the output in it
    #[arg(long)]
    pub json: bool,
    /// Do not pipe what is printed to a terminal into $PAGER
    #[arg(long)]
    pub no_pager: bool,
}
