//! One file per command: arguments in, an exit status out. This one calls the commands that run in a pod, which need Linux; `read`
//! calls the others.

mod check;
mod completions;
mod copy;
mod dashed;
mod diff;
mod environment;
mod examples;
mod history;
mod install;
mod json;
mod logs;
mod man;
mod not_utf8;
mod pager;
mod panic;
mod parse;
mod read;
mod report;
mod run;
mod say;
mod sidecar;
mod start;
mod termination;
mod usage;
mod verify;

use std::process::ExitCode;

use crate::cli::Command;
use crate::exit::Failure;

/// Parses the command line and runs its command.
pub fn run() -> ExitCode {
    start::start(call, termination::wrong_usage)
}

fn call(command: Command) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Run(run) => return Ok(ExitCode::from(run::run_hook(*run))),
        Command::Sidecar(sidecar) => return Ok(ExitCode::from(sidecar::run_sidecar(sidecar))),
        Command::Copy(arguments) => copy::run(*arguments),
        Command::Install(arguments) => install::run(&arguments),
        Command::Verify(verify) => verify::verify(&verify),
        command => return read::call(command),
    };
    done.map(|()| ExitCode::SUCCESS)
}
