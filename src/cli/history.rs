//! `hook-runner history`.

use super::moment::Moment;
use super::place::Place;
use crate::hook::number::whole_number;

/// One row per attempt, the newest first: when, of which release, how it ended and why
#[derive(Debug, clap::Args)]
pub struct History {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// At most so many attempts
    #[arg(short = 'n', long, value_name = "N", value_parser = whole_number::<usize>)]
    pub number: Option<usize>,
    /// Only attempts that did not succeed
    #[arg(long)]
    pub failed: bool,
    /// Only the run with this id (its beginning is enough)
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// Only attempts that began since then: 2h ago, a date or a time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only attempts that began until then
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Only of this Helm release
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// Only of this revision
    #[arg(long, value_name = "N")]
    pub revision: Option<String>,
    /// Only of the log of this name
    #[arg(long = "log", value_name = "NAME")]
    pub log_name: Option<String>,
    /// A table, or one JSON object per attempt
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
    /// As -o json
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
    /// Results in colour: auto is on a terminal without `NO_COLOR`
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: When,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// When there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// On a terminal, without `NO_COLOR`.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
