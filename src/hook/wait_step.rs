//! A wait step as the command line or a hook file describes it.

#![allow(clippy::doc_markdown)]

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::hook::accepted::Accepted;
use crate::hook::condition::Condition;
use crate::hook::duration::Timespan;

/// Wait until a condition holds.
#[derive(Debug, Clone, Default, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "Waits")]
pub struct WaitStep {
    /// file:PATH, tcp:HOST:PORT, http://… or https://…
    #[arg(skip)]
    #[serde(deserialize_with = "some")]
    #[schemars(with = "String")]
    pub r#for: Option<Condition>,

    /// Time limit of each wait [default: 1m]
    #[arg(id = "wait-timeout", long = "wait-timeout", value_name = "TIME", env = "HOOK_RUNNER_WAIT_TIMEOUT")]
    pub timeout: Option<Timespan>,

    /// HTTP status to wait for [default: any from 200 to 399]
    #[arg(id = "wait-status", long = "wait-status", value_name = "STATUS", env = "HOOK_RUNNER_WAIT_STATUS")]
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub status: Option<Accepted>,
}

/// Makes a key required whose field must be optional for the command line.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
