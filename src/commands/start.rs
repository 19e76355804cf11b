//! Parses the command line, calls the command, and reports its failure.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::panic::{self, LeaveMessage};
use super::say::{complain, unprintable, warn};
use super::{environment, parse, usage};
use crate::cli::{self, Command};
use crate::exit::{Failure, Kind};
use crate::hook::log_format::LogFormat;
use crate::output;

/// Parses the command line and runs its command through `call`.
pub fn start(call: fn(Command) -> Result<ExitCode, Failure>, leave_message: LeaveMessage) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    panic::install(words.clone(), leave_message);
    let definition = parse::definition();
    let command = match parse::parse(&definition, &words) {
        Ok(cli) => cli.command,
        Err(error) => return wrong_usage(&error, &definition, &words, leave_message),
    };
    if command.log_format() == Some(LogFormat::Json) {
        output::own_lines_as_json();
    }
    if command.reads_environment() {
        for sentence in environment::unknown(&cli::Cli::command()) {
            warn(&sentence);
        }
    }
    call(command).unwrap_or_else(|failure| {
        complain(&failure);
        ExitCode::from(failure.kind.status())
    })
}

/// Wrong usage is 78. clap's own status, 2, could be mistaken for the command's.
fn wrong_usage(
    error: &clap::Error,
    definition: &clap::Command,
    words: &[OsString],
    leave_message: LeaveMessage,
) -> ExitCode {
    let Some(failure) = usage::failure(error, definition, words) else {
        // `--help` and `--version`.
        return match error.print() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                complain(&unprintable(&error));
                ExitCode::from(Kind::Io.status())
            }
            _ => ExitCode::SUCCESS,
        };
    };
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
    } else {
        complain(&failure);
    }
    leave_message(&failure, words);
    ExitCode::from(failure.kind.status())
}
