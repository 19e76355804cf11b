//! An exec step as the command line or a hook file describes it.

#![allow(clippy::doc_markdown)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::hook::duration::{Limit, Timespan};
use crate::hook::file_value::FileValue;
use crate::hook::keys::{Keyed, Keys};
use crate::hook::non_empty::NonEmpty;
use crate::hook::number::whole_number;
use crate::hook::spec_error::SpecError;
use crate::hook::variables::Variables;
use crate::hook::when::When;
use crate::hook::yaml::{Mistake, Node};

/// Run a command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Command")]
pub struct ExecStep {
    /// The command and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,

    /// What it is called in the log, in place of the command's words.
    #[arg(skip)]
    pub name: Option<NonEmpty>,

    /// Variables for it besides the runner's own.
    #[arg(skip)]
    pub env: Option<Variables>,

    /// The directory that it starts in.
    #[arg(skip)]
    pub workdir: Option<PathBuf>,

    /// Limits the step to some runs.
    #[arg(skip)]
    pub when: Option<When>,

    /// Time limit of the command [default: none but the attempt's]
    #[arg(id = "exec-timeout", long = "exec-timeout", value_name = "TIME", env = "HOOK_RUNNER_EXEC_TIMEOUT")]
    pub timeout: Option<Limit>,

    /// How often to start a failing command again [default: 0]
    #[arg(long, value_name = "N", env = "HOOK_RUNNER_RETRIES", value_parser = whole_number::<u32>)]
    pub retries: Option<u32>,

    /// Time before the first retry; doubles with each [default: 1s]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_BACKOFF")]
    pub backoff: Option<Timespan>,
}

/// A command to run, checked.
#[derive(Debug, Clone)]
pub struct CommandSpec {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Its name in the log, instead of its words.
    pub name: Option<String>,
    /// Variables for it, in addition to the runner's own.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory, if not the runner's.
    pub workdir: Option<PathBuf>,
    /// Time limit of each try.
    pub timeout: Option<Duration>,
    /// How often it is started again after a failure.
    pub retries: u32,
    /// Pause before the first retry.
    pub backoff: Duration,
    /// Limits the step to some runs.
    pub when: Option<When>,
}

/// A command that is repeated until it succeeds.
#[derive(Debug, Clone)]
pub struct PollSpec {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// How long it is repeated.
    pub timeout: Duration,
    /// Limits the step to some runs.
    pub when: Option<When>,
}

impl ExecStep {
    /// This step's command. Options of the command line override its own.
    pub fn checked(self, flags: &Self) -> Result<CommandSpec, SpecError> {
        if self.command.first().is_none_or(|name| name.is_empty()) {
            return Err(SpecError::EmptyCommand);
        }
        Ok(CommandSpec {
            command: self.command,
            name: self.name.map(|name| name.0),
            env: self.env.unwrap_or_default().0,
            workdir: self.workdir,
            timeout: flags.timeout.or(self.timeout).map(|limit| limit.0),
            retries: flags.retries.or(self.retries).unwrap_or(0),
            backoff: flags.backoff.or(self.backoff).map_or(Duration::from_secs(1), |time| time.0),
            when: self.when,
        })
    }
}

impl Keyed for ExecStep {
    const NAME: &'static str = "an exec";
    const OPTIONS: &'static str = "exec-";

    fn keys<K: Keys>(&mut self, keys: &mut K) -> Result<(), Mistake> {
        let mut command = Command::default();
        keys.required("command", "[PROGRAM, ARGUMENT, …]", &mut command)?;
        self.command = command.0;
        keys.optional("name", &mut self.name)?;
        keys.optional("env", &mut self.env)?;
        keys.optional("workdir", &mut self.workdir)?;
        keys.optional("when", &mut self.when)?;
        keys.optional("timeout", &mut self.timeout)?;
        keys.optional("retries", &mut self.retries)?;
        keys.optional("backoff", &mut self.backoff)
    }
}

/// Program and arguments; the program's name is not empty.
#[derive(Default)]
pub struct Command(pub Vec<OsString>);

impl FileValue for Command {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let words = Vec::<OsString>::read(node)?;
        match words.first() {
            None => Err(node.mistake("an empty command; expected [PROGRAM, ARGUMENT, …]")),
            Some(name) if name.is_empty() => {
                Err(node.mistake("the command's name is empty; is a variable in it not set?"))
            }
            Some(_) => Ok(Self(words)),
        }
    }

    fn schema() -> Value {
        let mut schema = Vec::<OsString>::schema();
        schema["minItems"] = 1.into();
        schema["prefixItems"] = json!([{"allOf": [OsString::schema(), {"not": {"const": ""}}]}]);
        schema
    }
}
