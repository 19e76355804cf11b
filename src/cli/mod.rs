//! The command line (clap), nothing else.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::PathBuf;

use clap::{Args as _, CommandFactory, FromArgMatches as _, Parser, Subcommand};

use crate::hook::layer::{CopyStep, Layer};
use crate::hook::rare;

/// Runs a Helm hook in its pod: copies content onto a volume, runs the hook's command, preserves its log.
#[derive(Debug, Parser)]
#[command(name = "hook-runner", version, after_long_help = crate::exit::help(), max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
/// The definition of one is made only when it is asked for: `run` pays for no other. Then the words on its options are
/// shown, so they stand at both places.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Run a hook: its steps in order, its output preserved
    #[command(after_long_help = crate::exit::help())]
    Run(Box<Run>),
    /// Copy the contents of SRC into DST (an initContainer's job)
    Copy(Box<Copy>),
    /// Preserve the log of another container of this pod, and exit as it does
    Sidecar(Sidecar),
    /// Read a preserved log: the last run, a given one, what failed, all
    Logs(Logs),
    /// One row per attempt: when, release, revision, result, duration, files copied
    History(History),
    /// Compare a volume with what the last copy installed
    Verify(Verify),
    /// Validate a hook file: line, column, what was expected
    Check {
        /// The hook file (YAML)
        file: PathBuf,
    },
    /// Copy this binary into a directory that another container shares
    Install {
        /// The directory
        dir: PathBuf,
    },
    /// Print the JSON Schema of the hook file
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// bash, elvish, fish, powershell, zsh
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff)
    Man,
}

/// Run a hook: its steps in order, its output preserved
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Take the hook from FILE (YAML); flags and environment beat it
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_HOOK")]
    pub hook: Option<PathBuf>,
    /// What the command line and the environment say.
    #[command(flatten)]
    pub layer: Layer,
}

impl Run {
    /// What the program's `words` say, when that is to run, with options that most command lines name. Read so, a start
    /// does without the definition of the other commands and options. All else, wrong words and `--help` among it, is
    /// nothing here, and [`Cli`]'s to read.
    pub fn plain(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        if words.nth(1)? != "run" {
            return None;
        }
        rare::leave_out(true);
        let definition = clap::Command::new("run").no_binary_name(true).disable_help_flag(true);
        // Left as it is: taking it to pieces is a tenth of making it.
        let mut definition = ManuallyDrop::new(Self::augment_args(definition));
        let matches = definition.try_get_matches_from_mut(words);
        let run = matches.and_then(|mut matches| Self::from_arg_matches_mut(&mut matches));
        rare::leave_out(false);
        run.ok()
    }
}

/// Copy the contents of SRC into DST (an initContainer's job)
#[derive(Debug, clap::Args)]
pub struct Copy {
    /// The content directory in the image
    pub source: PathBuf,
    /// The directory on the volume
    pub destination: PathBuf,
    /// The state directory [default: .hook-runner in DST]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,
    /// How long to wait for another run that holds the volume [default: 1m]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_LOCK_TIMEOUT")]
    pub lock_timeout: Option<crate::hook::values::Timespan>,
    /// Print what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The engine's options.
    #[command(flatten)]
    pub options: CopyStep,
}

/// Preserve the log of another container of this pod, and exit as it does
#[derive(Debug, clap::Args)]
pub struct Sidecar {
    /// The container whose log is preserved
    #[arg(long, value_name = "NAME", env = "HOOK_RUNNER_CONTAINER")]
    pub container: String,
    /// The preserved log
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_LOG")]
    pub log: PathBuf,
    /// The state directory [default: .hook-runner beside the log]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,
    /// The run's id, such as the Job's UID [default: from release and revision, else unique]
    #[arg(long, value_name = "ID", env = "HOOK_RUNNER_RUN_ID")]
    pub run_id: Option<String>,
    /// Time from TERM to the end, for the other container's last lines [default: 20s]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_GRACE")]
    pub grace: Option<crate::hook::values::Timespan>,
    /// Certificates (PEM) of the API server [default: the service account's]
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Directory with the service account's token [default: /var/run/secrets/kubernetes.io/serviceaccount]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_SERVICE_ACCOUNT")]
    pub service_account: Option<PathBuf>,
}

/// Where a preserved log is.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The log, or the directory that holds post-hook-output.txt
    #[arg(value_name = "LOG|DIR", env = "HOOK_RUNNER_LOG", default_value = ".", hide_env_values = true)]
    pub log: PathBuf,
    /// The state directory [default: .hook-runner beside the log]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,
}

/// Read a preserved log: the last run, a given one, what failed, all
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// The run with this id (its beginning is enough) in place of the last
    #[arg(long, value_name = "ID", conflicts_with_all = ["all"])]
    pub run: Option<String>,
    /// Only this attempt of the run
    #[arg(long, value_name = "N", conflicts_with_all = ["all", "failed"])]
    pub attempt: Option<u32>,
    /// Only attempts that did not succeed
    #[arg(long)]
    pub failed: bool,
    /// Every run that is kept, oldest first
    #[arg(long)]
    pub all: bool,
    /// Print what is added until the attempt ends
    #[arg(long, short, conflicts_with_all = ["all", "failed", "json"])]
    pub follow: bool,
    /// One JSON object per attempt, the output in it
    #[arg(long)]
    pub json: bool,
}

/// One row per attempt: when, release, revision, result, duration, files copied
#[derive(Debug, clap::Args)]
pub struct History {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// One JSON object per attempt
    #[arg(long)]
    pub json: bool,
}

/// Compare a volume with what the last copy installed
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The directory on the volume
    pub destination: PathBuf,
    /// The state directory [default: .hook-runner in DST]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// The completion script for `shell`.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hook-runner", &mut text);
    text
}

/// Whether there is a command of this name.
pub fn is_command(name: &str) -> bool {
    Cli::command().find_subcommand(name).is_some()
}

/// The manual page: the program's, then each command's.
pub fn manual() -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut program = Cli::command();
    // Gives each command its full name, `hook-runner run`.
    program.build();
    clap_mangen::Man::new(program.clone()).render(&mut text)?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        clap_mangen::Man::new(command.clone()).render(&mut text)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn both(words: &[&str]) -> [Option<String>; 2] {
        let words = || ["hook-runner"].iter().chain(words).map(OsString::from);
        let whole = match Cli::try_parse_from(words()) {
            Ok(Cli { command: Command::Run(run) }) => Some(format!("{run:?}")),
            _ => None,
        };
        [Run::plain(words()).map(|run| format!("{run:?}")), whole]
    }

    #[test]
    fn a_plain_run_is_read_as_with_everything_defined() {
        for words in [
            &["run", "--log", "none", "--", "true", "--help"][..],
            &["run", "--copy", "a:b", "--timeout=1m", "--split-streams", "--retries", "2"],
            &["run", "--redact", "secret", "--redact", "other", "--log=file", "--", "x", "--policy"],
            &["run", "--hook", "file"],
        ] {
            let [plain, whole] = both(words);
            assert!(plain.is_some() && plain == whole, "{plain:?} {whole:?}");
        }
    }

    #[test]
    fn what_is_no_plain_run_is_left_to_be_read_with_everything_defined() {
        for words in [
            &["run", "--copy", "a:b", "--policy", "missing"][..],
            &["run", "--wait-for", "file:x", "--wait-timeout", "1s"],
            &["run", "--help"],
            &["run", "-h"],
            &["run", "--log"],
            &["run", "true"],
            &["run", "--timeout", "soon"],
            &["--version"],
            &["check", "file"],
            &[],
        ] {
            assert_eq!(both(words)[0], None, "{words:?}");
        }
    }
}
