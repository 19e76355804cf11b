//! A wait step as the command line or a hook file describes it.

#![allow(clippy::doc_markdown)]

use clap::Args;

use crate::hook::accepted::Accepted;
use crate::hook::condition::Condition;
use crate::hook::duration::Limit;
use crate::hook::keys::{Keyed, Keys};
use crate::hook::yaml::Mistake;

/// Wait until a condition holds.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Waits")]
pub struct WaitStep {
    /// file:PATH, tcp:HOST:PORT, http://… or https://…
    #[arg(skip)]
    pub r#for: Option<Condition>,

    /// Time limit of each wait [default: 1m]
    #[arg(id = "wait-timeout", long = "wait-timeout", value_name = "TIME", env = "HOOK_RUNNER_WAIT_TIMEOUT")]
    pub timeout: Option<Limit>,

    /// HTTP status to wait for [default: any from 200 to 399]
    #[arg(id = "wait-status", long = "wait-status", value_name = "STATUS", env = "HOOK_RUNNER_WAIT_STATUS")]
    pub status: Option<Accepted>,
}

impl Keyed for WaitStep {
    const NAME: &'static str = "a wait";
    const OPTIONS: &'static str = "wait-";

    fn keys<K: Keys>(&mut self, keys: &mut K) -> Result<(), Mistake> {
        keys.required("for", "file:PATH, tcp:HOST:PORT, http://… or https://…", &mut self.r#for)?;
        keys.optional("timeout", &mut self.timeout)?;
        keys.optional("status", &mut self.status)
    }
}
