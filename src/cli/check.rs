//! `hook-runner check`.

use std::path::PathBuf;

use super::run::Run;

/// Validate hook files: line, column, what was expected
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The hook files (YAML); - is stdin
    #[arg(id = "hook-files", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The flags that it is to be run with.
    #[command(flatten)]
    pub run: Run,
}
