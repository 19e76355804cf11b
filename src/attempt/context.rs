//! What does not change during an attempt: the hook, its limits, the secrets, the identity.

use super::limits::Limits;
use super::outcome::Failure;
use super::secrets::Secrets;
use crate::exit::Kind;
use crate::hook::copy_step::check_share;
use crate::hook::identity::Identity;
use crate::hook::spec::Hook;

pub(super) struct Context<'h> {
    pub(super) hook: &'h Hook,
    pub(super) limits: Limits,
    pub(super) secrets: Secrets,
    /// The run id without a shard's number.
    pub(super) group: String,
}

impl<'h> Context<'h> {
    /// Loads the secrets to redact before anything is written.
    pub(super) fn new(hook: &'h Hook) -> Result<Self, Failure> {
        let run = Identity::from_environment(hook.run_id.as_deref());
        check_share(hook.shard(), &run).map_err(|error| Failure::new(Kind::Config, error.to_string()))?;
        Ok(Self { hook, limits: Limits::new(hook), secrets: Secrets::load(&hook.redact)?, group: run.run })
    }
}

/// The identity of the run. A shard has a log of its own, and so an identity of its own.
pub(super) fn identity(hook: &Hook) -> Identity {
    let mut identity = Identity::from_environment(hook.run_id.as_deref());
    if let Some(shard) = hook.shard() {
        identity.run = format!("{}.shard-{}", identity.run, shard.index);
    }
    identity
}
