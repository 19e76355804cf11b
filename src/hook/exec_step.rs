//! An exec step as the command line or a hook file describes it.

#![allow(clippy::doc_markdown)]

use std::ffi::OsString;

use clap::Args;
use serde_json::{Value, json};

use crate::hook::duration::{Limit, Timespan};
use crate::hook::file_value::FileValue;
use crate::hook::keys::{Keyed, Keys};
use crate::hook::number::whole_number;
use crate::hook::yaml::{Mistake, Node};

/// Run a command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Command")]
pub struct ExecStep {
    /// The command and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,

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

impl Keyed for ExecStep {
    const NAME: &'static str = "an exec";
    const OPTIONS: &'static str = "exec-";

    fn keys<K: Keys>(&mut self, keys: &mut K) -> Result<(), Mistake> {
        let mut command = Command::default();
        keys.required("command", "[PROGRAM, ARGUMENT, …]", &mut command)?;
        self.command = command.0;
        keys.optional("timeout", &mut self.timeout)?;
        keys.optional("retries", &mut self.retries)?;
        keys.optional("backoff", &mut self.backoff)
    }
}

/// Program and arguments, the program's name not empty.
#[derive(Default)]
struct Command(Vec<OsString>);

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
