//! From the words of the command line and the environment to what a command is asked for.

use std::ffi::OsString;

use clap::{Command, CommandFactory, FromArgMatches};

use super::environment;
use crate::cli::Cli;

/// The command line as clap knows it, with what holds for all commands.
pub fn definition() -> Command {
    environment::without_empty(Cli::command())
}

/// Reads `words`, of which the first is the program's name.
pub fn parse(definition: &Command, words: &[OsString]) -> Result<Cli, clap::Error> {
    let mut matches = definition.clone().try_get_matches_from(words)?;
    Cli::from_arg_matches_mut(&mut matches)
}
