//! `hook-runner completions`, and what its scripts call.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;

/// Print a completion script for a shell: bash, zsh, fish
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell: bash, zsh, fish
    #[arg(value_parser = PossibleValuesParser::new(["bash", "zsh", "fish"]), hide_possible_values = true)]
    pub shell: String,
}

/// Print what may stand where the cursor is, for the completion scripts
#[derive(Debug, clap::Args)]
pub struct Complete {
    /// Which of the words the cursor is in, counted from 0
    pub cursor: usize,
    /// The command line's words, the program's name first
    #[arg(last = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}
