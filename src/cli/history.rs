//! `hook-runner history`.

use super::place::Place;
use super::which::Which;
use crate::hook::number::whole_number;

/// List the attempts, newest first: when, of which release, how each ended and why
#[derive(Debug, clap::Args)]
pub struct History {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// At most N attempts
    #[arg(short = 'n', long, value_name = "N", value_parser = whole_number::<usize>)]
    pub number: Option<usize>,
    /// Only attempts that did not succeed
    #[arg(long)]
    pub failed: bool,
    /// Only the run with this id, which may be shortened
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// Which attempts.
    #[command(flatten)]
    pub which: Which,
    /// Only of this revision
    #[arg(long, value_name = "N")]
    pub revision: Option<String>,
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
