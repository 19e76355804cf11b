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
    /// The run with this id, which may be shortened, instead of the last one
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
    /// Only the last LINES lines of the output
    #[arg(long, short = 'n', value_name = "LINES", value_parser = whole_number::<usize>)]
    pub tail: Option<usize>,
    /// Print the time before each line: the line's own if the hook ran with --timestamps, else the start of its step
    #[arg(long, conflicts_with_all = ["json", "follow"])]
    pub timestamps: bool,
    /// Only the command's bytes, without headers, footers and the runner's own lines; the times of a hook with
    /// --timestamps stay, and what an attempt without a footer has
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// Print output as it is written, through the Job's retries, until the run has ended
    #[arg(long, short, conflicts_with_all = ["all", "failed", "json", "since", "until"])]
    pub follow: bool,
    /// With --follow: go on with the next run
    #[arg(long, requires = "follow", conflicts_with = "exit_status")]
    pub forever: bool,
    /// With --follow: exit with the run's status (137 if it was interrupted)
    #[arg(long, requires = "follow")]
    pub exit_status: bool,
    /// One JSON object per attempt, with its output
    #[arg(long)]
    pub json: bool,
    /// Do not use a pager on a terminal
    #[arg(long)]
    pub no_pager: bool,
}
