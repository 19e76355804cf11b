//! Calls the commands that read, check and describe, on any system.

use std::process::ExitCode;

use super::say::print;
use super::{check, completions, diff, history, logs, man, report};
use crate::cli::Command;
use crate::exit::{Failure, Kind};
use crate::hook::schema;

/// Runs `command`. A command that needs Linux only gets here on other systems.
pub(super) fn call(command: Command) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Logs(arguments) => return logs::print_logs(&arguments),
        Command::History(arguments) => history::print_history(&arguments),
        Command::Report(arguments) => report::print_report(&arguments),
        Command::Diff(arguments) => diff::print_diff(&arguments),
        Command::Check(arguments) => check::check(*arguments),
        Command::Schema => print(format!("{}\n", schema::schema()).as_bytes()),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Complete(arguments) => completions::complete(&arguments),
        Command::Man(arguments) => man::man(&arguments),
        Command::Verify(_) => Err(Failure::new(
            Kind::Config,
            "verify compares modes, owners and names as a Linux volume has them, and this system has others",
        )
        .advise("`kubectl hook-log RELEASE verify` runs it where the volume is mounted")),
        Command::Run(_) | Command::Copy(_) | Command::Sidecar(_) | Command::Install(_) => {
            Err(Failure::new(Kind::Config, "this command runs in a pod and needs Linux")
                .advise("put it into the chart's hook; `hook-runner check` reads its hook file here"))
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
