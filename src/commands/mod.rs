//! One file per command: arguments in, an exit status out. This one parses the command line and hands on to them.

mod check;
pub mod copy;
pub mod install;
mod read;
mod run;
mod say;
mod sidecar;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use self::say::{complain, print, unprintable};
use crate::attempt::outcome::Failure;
use crate::cli::{self, Cli, Command};
use crate::exit::Kind;
use crate::hook::file;

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return usage::wrong_usage(&error),
    };
    let status = match cli.command {
        Command::Run(run) => return ExitCode::from(run::run_hook(*run)),
        Command::Copy(arguments) => copy::run(&arguments),
        Command::Sidecar(sidecar) => return ExitCode::from(sidecar::run_sidecar(sidecar)),
        Command::Logs(logs) => read::print_logs(&logs),
        Command::History(history) => read::print_history(&history),
        Command::Verify(verify) => copy::verify(&verify),
        Command::Check { file } => check::check(&file),
        Command::Install { dir } => install::install(&dir).map(drop).map_err(|error| {
            let kind = match error {
                install::InstallError::NoDirectory(_) => Kind::Config,
                install::InstallError::Io { .. } => Kind::Io,
            };
            Failure::new(kind, error.to_string())
        }),
        Command::Schema => print(format!("{}\n", file::schema()).as_bytes()),
        Command::Completions { shell } => print(&cli::completions(shell)),
        Command::Man => cli::manual().map_err(|error| unprintable(&error)).and_then(|text| print(&text)),
    };
    match status {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.kind.status())
        }
    }
}

fn parse() -> Result<Cli, clap::Error> {
    match cli::Run::plain(std::env::args_os()) {
        Some(run) => Ok(Cli { command: Command::Run(Box::new(run)) }),
        None => Cli::try_parse(),
    }
}
