//! Parses the command line and the environment.

use std::ffi::OsString;

use clap::{Command, CommandFactory, FromArgMatches};

use super::{dashed, environment, examples};
use crate::cli::Cli;
use crate::exit;

/// The definition for clap, completed for all commands: examples in the help, no values of variables in it, and empty variables
/// count as unset.
pub fn definition() -> Command {
    let mut program = environment::without_empty(Cli::command());
    let names: Vec<String> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        program = program.mut_subcommand(&name, |command| {
            let after = after_help(&name);
            let command = command.mut_args(|argument| argument.hide_env_values(true));
            if after.is_empty() { command } else { command.after_long_help(after) }
        });
    }
    program
}

/// What follows the options in a command's `--help`.
fn after_help(command: &str) -> String {
    let examples = examples::help(command);
    match command {
        "run" => format!("{examples}\n{}\n{}", examples::variables(), exit::help()),
        "sidecar" | "copy" | "install" => format!("{examples}\n{}", exit::help()),
        _ => examples,
    }
}

/// Reads `words`, of which the first is the program's name.
pub fn parse(definition: &Command, words: &[OsString]) -> Result<Cli, clap::Error> {
    let words = environment::with_lists(definition, words);
    let read =
        |words: &[OsString]| Cli::from_arg_matches_mut(&mut definition.clone().try_get_matches_from(words)?);
    // In `--keep -1` it is the value of --keep that is wrong, and not an option -1.
    read(&words).map_err(|error| match dashed::joined(&error, definition, &words) {
        Some(joined) => read(&joined).err().unwrap_or(error),
        None => error,
    })
}
