//! `hook-runner check`.

use std::path::PathBuf;

/// Validate a hook file: line, column, what was expected
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The hook file (YAML)
    pub file: PathBuf,
}
