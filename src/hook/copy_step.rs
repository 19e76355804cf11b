//! A copy step as the command line or a hook file describes it, and the engine's options made from it.

#![allow(clippy::doc_markdown)]

use std::path::PathBuf;

use clap::Args;

use crate::copy::{self, ModeChange, Owner, Policy, Prune, Shard};
use crate::hook::file_value::{form, words};
use crate::hook::glob::Glob;
use crate::hook::identity::Identity;
use crate::hook::keys::{Keyed, Keys};
use crate::hook::non_empty::NonEmpty;
use crate::hook::number::whole_number;
use crate::hook::pattern::smaller;
use crate::hook::spec_error::SpecError;
use crate::hook::switch::switch;
use crate::hook::when::When;
use crate::hook::word::word;
use crate::hook::yaml::Mistake;

/// Copy the contents of one directory into another.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Copies")]
pub struct CopyStep {
    /// The content directory in the image.
    #[arg(skip)]
    pub from: PathBuf,

    /// The directory on the volume.
    #[arg(skip)]
    pub to: PathBuf,

    /// Limits the step to some runs.
    #[arg(skip)]
    pub when: Option<When>,

    /// What wins if both image and volume changed a file: replace, keep-modified (the image's version goes beside it as NAME.from-image), missing; an entry of another type is moved to NAME.from-volume [default: replace]
    #[arg(long, value_name = "POLICY", env = "HOOK_RUNNER_POLICY", hide_possible_values = true, value_parser = word::<Policy>(Policy::WORDS))]
    pub policy: Option<Policy>,

    /// What is removed from the volume: none, owned, all [default: none]
    #[arg(long, value_name = "WHAT", env = "HOOK_RUNNER_PRUNE", hide_possible_values = true, value_parser = word::<Prune>(Prune::WORDS))]
    pub prune: Option<Prune>,

    /// Leave out what matches, gitignore syntax (repeatable)
    #[arg(long, value_name = "GLOB", env = "HOOK_RUNNER_EXCLUDE")]
    pub exclude: Vec<Glob>,

    /// Copy only what matches, gitignore syntax (repeatable)
    #[arg(long, value_name = "GLOB", env = "HOOK_RUNNER_INCLUDE")]
    pub include: Vec<Glob>,

    /// Owner of what is copied [default: as in the source, where permitted]
    #[arg(long, value_name = "UID:GID", env = "HOOK_RUNNER_CHOWN")]
    pub chown: Option<Owner>,

    /// Mode changes of what is copied, as chmod(1) takes them [default: as in the source]
    #[arg(long, value_name = "MODE", env = "HOOK_RUNNER_CHMOD")]
    pub chmod: Option<ModeChange>,

    /// Fail when owner, xattrs or capabilities cannot be kept
    #[arg(long, env = "HOOK_RUNNER_STRICT_METADATA", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub strict_metadata: Option<bool>,

    /// Take a file with the same size and mtime as unchanged, without reading it
    #[arg(long, env = "HOOK_RUNNER_TRUST_MTIME", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub trust_mtime: Option<bool>,

    /// Follow directory symbolic links that stand on the volume
    #[arg(long, env = "HOOK_RUNNER_FOLLOW_DESTINATION_LINKS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub follow_destination_links: Option<bool>,

    /// Copy even when the volume seems too small
    #[arg(long, env = "HOOK_RUNNER_IGNORE_SPACE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub ignore_space: Option<bool>,

    /// Threads that copy [default: 16]
    #[arg(long, value_name = "N", env = "HOOK_RUNNER_WORKERS", value_parser = whole_number::<std::num::NonZeroUsize>)]
    pub workers: Option<std::num::NonZeroUsize>,

    /// Owner of the copied entries in the manifest; give a fixed name if the source's path changes [default: the source's path]
    #[arg(long, value_name = "NAME", env = "HOOK_RUNNER_OWNER")]
    pub owner: Option<NonEmpty>,

    /// Prune even when the source is empty, which is otherwise refused
    #[arg(long, env = "HOOK_RUNNER_ALLOW_EMPTY_SOURCE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub allow_empty_source: Option<bool>,

    /// Version of the source, such as the image's digest; a source of the last copy's version is not read
    #[arg(long, value_name = "ID", env = "HOOK_RUNNER_SOURCE_VERSION")]
    pub source_version: Option<NonEmpty>,

    /// Copy the targets of the source's symbolic links, as a mounted ConfigMap needs
    #[arg(long, env = "HOOK_RUNNER_DEREFERENCE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub dereference: Option<bool>,

    /// Copy only share I of N (0/4 to 3/4), or auto: as an Indexed Job's environment says. All shares need the same image and
    /// the same run id
    #[arg(long, value_name = "I/N", env = "HOOK_RUNNER_SHARD")]
    pub shard: Option<Sharding>,
}

impl CopyStep {
    /// Gives `shard: auto` a value for `check`, because only a pod of an Indexed Job knows its share.
    pub fn assume_shard(&mut self) {
        if self.shard == Some(Sharding::Auto) {
            self.shard = Some(Sharding::Of(Shard { index: 0, count: 1 }));
        }
    }
}

impl Keyed for CopyStep {
    const NAME: &'static str = "a copy";

    fn keys<K: Keys>(&mut self, keys: &mut K) -> Result<(), Mistake> {
        keys.required("from", "the content directory in the image", &mut self.from)?;
        keys.required("to", "the directory on the volume", &mut self.to)?;
        keys.optional("when", &mut self.when)?;
        keys.optional("policy", &mut self.policy)?;
        keys.optional("prune", &mut self.prune)?;
        keys.many("exclude", &mut self.exclude)?;
        keys.many("include", &mut self.include)?;
        keys.optional("chown", &mut self.chown)?;
        keys.optional("chmod", &mut self.chmod)?;
        keys.optional("strict-metadata", &mut self.strict_metadata)?;
        keys.optional("trust-mtime", &mut self.trust_mtime)?;
        keys.optional("follow-destination-links", &mut self.follow_destination_links)?;
        keys.optional("ignore-space", &mut self.ignore_space)?;
        keys.optional("workers", &mut self.workers)?;
        keys.optional("owner", &mut self.owner)?;
        keys.optional("allow-empty-source", &mut self.allow_empty_source)?;
        keys.optional("source-version", &mut self.source_version)?;
        keys.optional("dereference", &mut self.dereference)?;
        keys.optional("shard", &mut self.shard)
    }
}

words!(Policy);
words!(Prune);
form!(Owner, "UID:GID in quotes", format!("(?:{ID}):(?:{ID})"));
form!(ModeChange, "a mode in quotes such as '0644'", format!("0*[0-7]{{1,4}}|{CLAUSE}(?:,{CLAUSE})*"));

/// A clause of chmod(1).
const CLAUSE: &str = "[ugoa]*(?:[-+=](?:[ugo]|[rwxXst]*))+";

/// 0 to 4294967294. chown(2) takes 4294967295 for "unchanged".
const ID: &str = "[0-9]{1,9}|[0-3][0-9]{9}|4[01][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}|4294[0-8][0-9]{5}|\
                  42949[0-5][0-9]{4}|429496[0-6][0-9]{3}|4294967[01][0-9]{2}|42949672[0-8][0-9]|429496729[0-4]";

/// The engine's options: those of the command line, else the step's own.
pub fn copy_options(flags: &CopyStep, step: &CopyStep) -> Result<copy::Options, SpecError> {
    let patterns = |flags: &[Glob], step: &[Glob]| -> Vec<String> {
        let given = if flags.is_empty() { step } else { flags };
        given.iter().map(|glob| glob.0.clone()).collect()
    };
    let text = |flag: &Option<NonEmpty>, step: &Option<NonEmpty>| {
        flag.as_ref().or(step.as_ref()).map(ToString::to_string)
    };
    Ok(copy::Options {
        policy: flags.policy.or(step.policy).unwrap_or_default(),
        prune: flags.prune.or(step.prune).unwrap_or_default(),
        exclude: patterns(&flags.exclude, &step.exclude),
        include: patterns(&flags.include, &step.include),
        chown: flags.chown.or(step.chown),
        chmod: flags.chmod.clone().or_else(|| step.chmod.clone()),
        strict_metadata: flags.strict_metadata.or(step.strict_metadata).unwrap_or(false),
        trust_mtime: flags.trust_mtime.or(step.trust_mtime).unwrap_or(false),
        follow_destination_links: flags
            .follow_destination_links
            .or(step.follow_destination_links)
            .unwrap_or(false),
        ignore_space: flags.ignore_space.or(step.ignore_space).unwrap_or(false),
        workers: flags.workers.or(step.workers),
        owner: text(&flags.owner, &step.owner),
        allow_empty_source: flags.allow_empty_source.or(step.allow_empty_source).unwrap_or(false),
        source_version: text(&flags.source_version, &step.source_version),
        dereference: flags.dereference.or(step.dereference).unwrap_or(false),
        shard: match flags.shard.or(step.shard) {
            None => None,
            Some(Sharding::Of(shard)) => Some(shard),
            Some(Sharding::Auto) => Some(shard_from_environment()?),
        },
        dry_run: false,
        listed_changes: None,
    })
}

/// The share of an Indexed Job's pod. Kubernetes sets the 0-based index (`JOB_COMPLETION_INDEX`); it does not tell the
/// number of completions, so the charts set that.
fn shard_from_environment() -> Result<copy::Shard, SpecError> {
    let number = |variable: &'static str| -> Result<u32, SpecError> {
        let text = std::env::var(variable)
            .map_err(|_| SpecError::Shard { variable, problem: "is not set".into() })?;
        text.parse().map_err(|_| SpecError::Shard { variable, problem: format!("is '{text}', not a number") })
    };
    let (index, count) = (number("JOB_COMPLETION_INDEX")?, number("HOOK_RUNNER_COMPLETIONS")?);
    format!("{index}/{count}").parse().map_err(|cause| SpecError::Shard {
        variable: "JOB_COMPLETION_INDEX",
        problem: format!("is {index} of {count}: {cause}"),
    })
}

/// Refuses a share without a given run id: each share would make up another one.
pub fn check_share(shard: Option<Shard>, identity: &Identity) -> Result<(), SpecError> {
    match shard {
        Some(shard) if identity.new && shard.count > 1 => Err(SpecError::ShardWithoutRun { shard }),
        _ => Ok(()),
    }
}

/// Which share of a copy this process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharding {
    /// From `JOB_COMPLETION_INDEX` and `HOOK_RUNNER_COMPLETIONS`.
    Auto,
    Of(Shard),
}

impl std::str::FromStr for Sharding {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Of)
    }
}

form!(Sharding, "I/N in quotes, or auto", format!("auto|(?=[0-9]+/(?:{SHARDS})$){}", shards()));

/// At most 4096.
const SHARDS: &str = "[1-9][0-9]{0,2}|[1-3][0-9]{3}|40[0-8][0-9]|409[0-6]";

fn shards() -> String {
    format!("(?:{})", smaller(4, 1, "/"))
}
