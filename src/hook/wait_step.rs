//! A wait step as the command line or a hook file describes it.

#![allow(clippy::doc_markdown)]

use std::path::PathBuf;

use clap::Args;

use crate::hook::accepted::Accepted;
use crate::hook::awaited::Awaited;
use crate::hook::duration::Limit;
use crate::hook::header::Header;
use crate::hook::keys::{Keyed, Keys};
use crate::hook::when::When;
use crate::hook::yaml::Mistake;

/// Wait until a condition holds.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Waits")]
pub struct WaitStep {
    /// file:PATH, tcp:HOST:PORT, http://… or https://…
    #[arg(skip)]
    pub r#for: Option<Awaited>,

    /// For which runs it is.
    #[arg(skip)]
    pub when: Option<When>,

    /// Time limit of each wait [default: 1m]
    #[arg(id = "wait-timeout", long = "wait-timeout", value_name = "TIME", env = "HOOK_RUNNER_WAIT_TIMEOUT")]
    pub timeout: Option<Limit>,

    /// HTTP status to wait for [default: any from 200 to 399]
    #[arg(id = "wait-status", long = "wait-status", value_name = "STATUS", env = "HOOK_RUNNER_WAIT_STATUS")]
    pub status: Option<Accepted>,

    /// Time limit of each try of a wait [default: 10s]
    #[arg(
        id = "wait-try-timeout",
        long = "wait-try-timeout",
        value_name = "TIME",
        env = "HOOK_RUNNER_WAIT_TRY_TIMEOUT"
    )]
    pub try_timeout: Option<Limit>,

    /// Send this header, as in 'Host: shop.example' (repeatable)
    #[arg(
        id = "wait-header",
        long = "wait-header",
        value_name = "NAME: VALUE",
        env = "HOOK_RUNNER_WAIT_HEADER",
        hide_env_values = true
    )]
    pub headers: Vec<Header>,

    /// Send USER:PASSWORD from this file (HTTP basic authentication)
    #[arg(
        id = "wait-auth-file",
        long = "wait-auth-file",
        value_name = "FILE",
        env = "HOOK_RUNNER_WAIT_AUTH_FILE"
    )]
    pub auth_file: Option<PathBuf>,

    /// Send USER:PASSWORD from this environment variable
    #[arg(
        id = "wait-auth-env",
        long = "wait-auth-env",
        value_name = "NAME",
        env = "HOOK_RUNNER_WAIT_AUTH_ENV",
        conflicts_with = "wait-auth-file"
    )]
    pub auth_env: Option<String>,

    /// Connect to this Unix socket instead of the URL's host and port
    #[arg(
        id = "wait-unix-socket",
        long = "wait-unix-socket",
        value_name = "PATH",
        env = "HOOK_RUNNER_WAIT_UNIX_SOCKET"
    )]
    pub unix_socket: Option<PathBuf>,
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
        keys.optional("timeout", &mut self.timeout)?;
        keys.optional("status", &mut self.status)?;
        keys.optional("try-timeout", &mut self.try_timeout)?;
        keys.many("headers", &mut self.headers)?;
        keys.optional("auth-file", &mut self.auth_file)?;
        keys.optional("auth-env", &mut self.auth_env)?;
        keys.optional("unix-socket", &mut self.unix_socket)
    }
}
