//! What neither log may show, as the command line or a hook file names it.

use std::path::PathBuf;

use clap::Args;

use crate::hook::keys::{Keyed, Keys};
use crate::hook::non_empty::NonEmpty;
use crate::hook::yaml::Mistake;

/// Values that must not appear in a log, nor in the pod's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Redaction")]
pub struct Redact {
    /// Redact the value of this environment variable (repeatable)
    #[arg(long = "redact-env", value_name = "NAME", env = "HOOK_RUNNER_REDACT_ENV")]
    pub env: Vec<NonEmpty>,

    /// Redact the content of this file, or of each file of this directory (repeatable)
    #[arg(long = "redact-file", value_name = "PATH", env = "HOOK_RUNNER_REDACT_FILE")]
    pub files: Vec<PathBuf>,

    /// Redact this text (repeatable)
    #[arg(long = "redact", value_name = "TEXT", env = "HOOK_RUNNER_REDACT", hide_env_values = true)]
    pub literals: Vec<String>,
}

impl Keyed for Redact {
    const NAME: &'static str = "redact";

    fn keys<K: Keys>(&mut self, keys: &mut K) -> Result<(), Mistake> {
        keys.many("env", &mut self.env)?;
        keys.many("files", &mut self.files)?;
        keys.many("literals", &mut self.literals)
    }
}
