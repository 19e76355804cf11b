//! One file per command: arguments in, an exit status out. This one parses the command line and calls the command.

mod check;
mod completions;
mod copy;
mod dashed;
mod diff;
mod environment;
mod examples;
mod history;
mod install;
mod logs;
mod man;
mod not_utf8;
mod pager;
mod panic;
mod parse;
mod report;
mod run;
mod say;
mod sidecar;
mod termination;
mod usage;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;

use self::say::{complain, print, warn};
use crate::cli::{self, Command};
use crate::hook::log_format::LogFormat;
use crate::hook::schema;
use crate::output;

/// Parses the command line and runs its command.
pub fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    panic::install(words.clone());
    let definition = parse::definition();
    let command = match parse::parse(&definition, &words) {
        Ok(cli) => cli.command,
        Err(error) => return wrong_usage(&error, &definition, &words),
    };
    if command.log_format() == Some(LogFormat::Json) {
        output::own_lines_as_json();
    }
    if command.reads_environment() {
        for sentence in environment::unknown(&cli::Cli::command()) {
            warn(&sentence);
        }
    }
    let result = match command {
        Command::Run(run) => return ExitCode::from(run::run_hook(*run)),
        Command::Sidecar(sidecar) => return ExitCode::from(sidecar::run_sidecar(sidecar)),
        Command::Copy(arguments) => copy::run(*arguments),
        Command::Install(arguments) => install::run(&arguments),
        Command::Logs(arguments) => match logs::print_logs(&arguments) {
            Ok(status) => return status,
            Err(failure) => Err(failure),
        },
        Command::History(arguments) => history::print_history(&arguments),
        Command::Report(arguments) => report::print_report(&arguments),
        Command::Diff(arguments) => diff::print_diff(&arguments),
        Command::Verify(verify) => verify::verify(&verify),
        Command::Check(arguments) => check::check(*arguments),
        Command::Schema => print(format!("{}\n", schema::schema()).as_bytes()),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Complete(arguments) => completions::complete(&arguments),
        Command::Man(arguments) => man::man(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.kind.status())
        }
    }
}

/// Wrong usage is 78. clap's own status, 2, could be taken for the command's.
fn wrong_usage(error: &clap::Error, definition: &clap::Command, words: &[OsString]) -> ExitCode {
    let Some(failure) = usage::failure(error, definition, words) else {
        let _ = error.print();
        return ExitCode::SUCCESS;
    };
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
    } else {
        complain(&failure);
    }
    termination::wrong_usage(&failure, words);
    ExitCode::from(failure.kind.status())
}
