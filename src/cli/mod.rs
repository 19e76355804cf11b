//! The command line: clap structs, one file per command. Knows nothing of what the commands do.

mod check;
mod completions;
mod copy;
mod diff;
mod expression;
mod history;
mod install;
mod logs;
mod man;
mod moment;
mod place;
mod report;
mod run;
mod sidecar;
mod termination;
mod verify;
mod which;

use clap::{Parser, Subcommand};

use crate::hook::log_format::LogFormat;

pub use self::check::Check;
pub use self::completions::{Complete, Completions};
pub use self::copy::Copy;
pub use self::diff::Diff;
pub use self::history::{Format, History, When};
pub use self::install::Install;
pub use self::logs::Logs;
pub use self::man::Man;
pub use self::place::Place;
pub use self::report::Report;
pub use self::run::Run;
pub use self::sidecar::Sidecar;
pub use self::verify::Verify;
pub use self::which::Which;

/// The text of `--version`; `-V` prints only the version.
const LONG_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_DESCRIPTION"), ")");

/// Runs a Helm hook in its pod: copies content onto a volume, runs the hook's command, preserves its log.
#[derive(Debug, Parser)]
#[command(name = "hook-runner", version, long_version = LONG_VERSION, args_override_self = true, after_long_help = crate::exit::help(), max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a hook: its steps in order, its output preserved
    Run(Box<Run>),
    /// Copy the contents of SRC into DST (an initContainer's job)
    Copy(Box<Copy>),
    /// Preserve the log of another container of this pod, and exit as it does
    Sidecar(Sidecar),
    /// Read a preserved log: the last run, a given one, what failed, all
    Logs(Logs),
    /// List the attempts, newest first: when, of which release, how each ended and why
    History(History),
    /// Write one HTML file that loads nothing: the runs, their steps, their output
    Report(Report),
    /// Show what a run changed on the volume, one line per entry as rsync -i prints
    Diff(Diff),
    /// Compare a volume with what the last copy installed
    Verify(Verify),
    /// Validate hook files: line, column, what was expected
    Check(Box<Check>),
    /// Copy this binary into a directory that another container shares
    Install(Install),
    /// Print the JSON Schema of the hook file
    Schema,
    /// Print a completion script for a shell: bash, zsh, fish
    Completions(Completions),
    /// Print what may stand where the cursor is, for the completion scripts
    #[command(hide = true)]
    Complete(Complete),
    /// Print a manual page, or put all of them into a directory
    Man(Man),
}

impl Command {
    /// How the runner's own lines look, where the command line or the environment says it.
    pub fn log_format(&self) -> Option<LogFormat> {
        match self {
            Self::Run(run) => run.layer.log_format,
            Self::Sidecar(sidecar) => sidecar.log_format,
            _ => None,
        }
    }

    /// Whether `HOOK_RUNNER_…` variables mean something to it.
    pub fn reads_environment(&self) -> bool {
        !matches!(self, Self::Schema | Self::Completions(_) | Self::Complete(_) | Self::Man(_))
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
