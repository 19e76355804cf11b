//! One file per command: arguments in, an exit status out. This one parses the command line and hands on to them.

mod check;
mod completions;
pub mod copy;
pub mod install;
mod man;
mod read;
mod run;
mod say;
mod sidecar;
mod usage;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use self::say::{complain, print};
use crate::attempt::outcome::Failure;
use crate::cli::{Cli, Command};
use crate::exit::Kind;
use crate::hook::schema;

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::wrong_usage(&error),
    };
    let status = match cli.command {
        Command::Run(run) => return ExitCode::from(run::run_hook(*run)),
        Command::Copy(arguments) => copy::run(&arguments),
        Command::Sidecar(sidecar) => return ExitCode::from(sidecar::run_sidecar(sidecar)),
        Command::Logs(logs) => read::print_logs(&logs),
        Command::History(history) => read::print_history(&history),
        Command::Verify(verify) => verify::verify(&verify),
        Command::Check(arguments) => check::check(&arguments.file),
        Command::Install(arguments) => install::install(&arguments.dir).map(drop).map_err(|error| {
            let kind = match error {
                install::InstallError::NoDirectory(_) => Kind::Config,
                install::InstallError::Io { .. } => Kind::Io,
            };
            Failure::new(kind, error.to_string())
        }),
        Command::Schema => print(format!("{}\n", schema::schema()).as_bytes()),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Man => man::man(),
    };
    match status {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.kind.status())
        }
    }
}
