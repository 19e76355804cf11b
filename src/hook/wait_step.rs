//! A wait step as the command line or a hook file describes it.

#![allow(clippy::doc_markdown)]

use std::path::PathBuf;

use clap::Args;

use crate::hook::accepted::Accepted;
use crate::hook::awaited::Awaited;
use crate::hook::duration::Limit;
use crate::hook::header::Header;
use crate::hook::keys::{Keyed, Keys};
use crate::hook::non_empty::NonEmpty;
use crate::hook::when::When;
use crate::hook::yaml::Mistake;

/// Wait until a condition holds.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Waits")]
pub struct WaitStep {
    /// file:PATH, tcp:HOST:PORT, http://… or https://…
    #[arg(skip)]
    pub r#for: Option<Awaited>,

    /// Limits the step to some runs.
    #[arg(skip)]
    pub when: Option<When>,

    /// Time limit of each wait [default: 1m]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_WAIT_TIMEOUT")]
    pub wait_timeout: Option<Limit>,

    /// HTTP status to wait for [default: any from 200 to 399]
    #[arg(long, value_name = "STATUS", env = "HOOK_RUNNER_WAIT_STATUS")]
    pub wait_status: Option<Accepted>,

    /// Time limit of each try of a wait [default: 10s]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_WAIT_TRY_TIMEOUT")]
    pub wait_try_timeout: Option<Limit>,

    /// Send this header, as in 'Host: shop.example' (repeatable)
    #[arg(long, value_name = "NAME: VALUE", env = "HOOK_RUNNER_WAIT_HEADER", hide_env_values = true)]
    pub wait_header: Vec<Header>,

    /// Send USER:PASSWORD from this file (HTTP basic authentication)
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_WAIT_AUTH_FILE")]
    pub wait_auth_file: Option<PathBuf>,

    /// Send USER:PASSWORD from this environment variable
    #[arg(long, value_name = "NAME", env = "HOOK_RUNNER_WAIT_AUTH_ENV", conflicts_with = "wait_auth_file")]
    pub wait_auth_env: Option<NonEmpty>,

    /// Connect to this Unix socket instead of the URL's host and port
    #[arg(long, value_name = "PATH", env = "HOOK_RUNNER_WAIT_UNIX_SOCKET")]
    pub wait_unix_socket: Option<PathBuf>,
}

impl Keyed for WaitStep {
    const NAME: &'static str = "a wait";
    const OPTIONS: &'static str = "wait-";

    fn keys<K: Keys>(&mut self, keys: &mut K) -> Result<(), Mistake> {
        keys.required(
            "for",
            "file:PATH, tcp:HOST:PORT, http://…, https://…, exec:COMMAND, or a command as a list",
            &mut self.r#for,
        )?;
        keys.optional("when", &mut self.when)?;
        keys.optional("timeout", &mut self.wait_timeout)?;
        keys.optional("status", &mut self.wait_status)?;
        keys.optional("try-timeout", &mut self.wait_try_timeout)?;
        keys.many("headers", &mut self.wait_header)?;
        keys.optional("auth-file", &mut self.wait_auth_file)?;
        keys.optional("auth-env", &mut self.wait_auth_env)?;
        keys.optional("unix-socket", &mut self.wait_unix_socket)
    }
}
