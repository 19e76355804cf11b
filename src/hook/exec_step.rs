//! An exec step as the command line or a hook file describes it.

#![allow(clippy::doc_markdown)]

use std::ffi::OsString;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::hook::duration::Timespan;
use crate::hook::number::whole_number;

/// Run a command.
#[derive(Debug, Clone, Default, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "Command")]
pub struct ExecStep {
    /// The command and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    #[serde(deserialize_with = "command")]
    #[schemars(with = "Vec<String>")]
    pub command: Vec<OsString>,

    /// Time limit of the command [default: none but the attempt's]
    #[arg(id = "exec-timeout", long = "exec-timeout", value_name = "TIME", env = "HOOK_RUNNER_EXEC_TIMEOUT")]
    pub timeout: Option<Timespan>,

    /// How often to start a failing command again [default: 0]
    #[arg(long, value_name = "N", env = "HOOK_RUNNER_RETRIES", value_parser = whole_number::<u32>)]
    pub retries: Option<u32>,

    /// Time before the first retry; doubles with each [default: 1s]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_BACKOFF")]
    pub backoff: Option<Timespan>,
}

fn command<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<OsString>, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    if words.is_empty() {
        return Err(serde::de::Error::custom("an empty command; expected [PROGRAM, ARGUMENT, …]"));
    }
    Ok(words.into_iter().map(OsString::from).collect())
}
