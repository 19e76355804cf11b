//! One layer of what somebody says about a hook: the command line with the environment, or a hook file.
//! Both are this one type, so each option of `run` has a flag, an environment variable and a key.

// Doc comments are the text of --help and of the schema, not Markdown.
#![allow(clippy::doc_markdown)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::copy::{ModeChange, Owner, Policy, Prune, Shard};
use crate::hook::rare::{Group, Rare};
use crate::hook::values::{CopyPair, LogTarget, Mode, OnLogFailure, Size, Timespan, whole_number};
use crate::hook::wait::{Accepted, Condition};

/// A hook as one source describes it; what is not said is `None` or empty.
#[derive(Debug, Default, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(title = "hook-runner hook file")]
pub struct Layer {
    /// Copy the contents of SRC into DST (repeatable)
    #[arg(long = "copy", value_name = "SRC:DST", env = "HOOK_RUNNER_COPY", value_delimiter = '\n',
          value_parser = OsStringValueParser::new().try_map(|text| CopyPair::parse(&text)))]
    #[serde(skip)]
    pub copies: Vec<CopyPair>,

    /// Wait until COND holds: file:PATH, tcp:HOST:PORT, http://… or https://… (repeatable)
    #[arg(long = "wait-for", value_name = "COND", env = "HOOK_RUNNER_WAIT_FOR", value_delimiter = '\n')]
    #[serde(skip)]
    pub waits: Vec<Condition>,

    /// The preserved log, or none [default: post-hook-output.txt in the first copy's destination]
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_LOG",
          value_parser = OsStringValueParser::new().map(LogTarget::from))]
    pub log: Option<LogTarget>,

    /// Time limit of the whole attempt; keep it below `helm --timeout` [default: none]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_TIMEOUT")]
    pub timeout: Option<Timespan>,

    /// Time between TERM and KILL; keep it below terminationGracePeriodSeconds [default: 20s]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_GRACE")]
    pub grace: Option<Timespan>,

    /// Mode of a new log file [default: 0640]
    #[arg(long, value_name = "MODE", env = "HOOK_RUNNER_LOG_MODE")]
    pub log_mode: Option<Mode>,

    /// What a failing log does to the result: fail, warn [default: fail]
    #[arg(long, value_name = "WHAT", env = "HOOK_RUNNER_LOG_FAILURE", hide_possible_values = true)]
    pub log_failure: Option<OnLogFailure>,

    /// The state directory [default: .hook-runner beside the log]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,

    /// The run's id, such as the Job's UID [default: from release and revision, else unique]
    #[arg(long, value_name = "ID", env = "HOOK_RUNNER_RUN_ID")]
    pub run_id: Option<String>,

    /// How long to wait for another run that holds the volume [default: 1m]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_LOCK_TIMEOUT")]
    pub lock_timeout: Option<Timespan>,

    /// Logs of earlier runs to keep, in number [default: 20]
    #[arg(long, value_name = "N", env = "HOOK_RUNNER_KEEP", value_parser = whole_number::<usize>)]
    pub keep: Option<usize>,

    /// Logs of earlier runs to keep, in bytes [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "HOOK_RUNNER_KEEP_BYTES")]
    pub keep_bytes: Option<Size>,

    /// Time for output of processes that outlive the command [default: 2s]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_DRAIN")]
    pub drain: Option<Timespan>,

    /// Keep stdout and stderr apart, at the price of the order between them
    #[arg(long, env = "HOOK_RUNNER_SPLIT_STREAMS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub split_streams: Option<bool>,

    /// Put the time before each line of the command in the log
    #[arg(long, env = "HOOK_RUNNER_TIMESTAMPS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub timestamps: Option<bool>,

    /// Mark lines of stderr in the log (needs --split-streams)
    #[arg(long, env = "HOOK_RUNNER_ANNOTATE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub annotate: Option<bool>,

    /// Keep the first and the last part of an attempt's output beyond SIZE [default: no limit]
    #[arg(long, value_name = "SIZE", env = "HOOK_RUNNER_MAX_LOG")]
    pub max_log: Option<Size>,

    /// Start the command in a session of its own, with the terminal if the runner leads the terminal's session
    #[arg(long, env = "HOOK_RUNNER_SETSID", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub setsid: Option<bool>,

    /// Certificates (PEM) that https waits trust [default: bundled roots]
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Where the summary goes as JSON [default: /dev/termination-log when it exists]
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_TERMINATION_LOG")]
    pub termination_log: Option<PathBuf>,

    /// Secrets that the log must not show.
    #[command(flatten)]
    pub redact: Redact,

    /// The options of each copy that the command line gives; in a hook file each copy has its own.
    #[command(flatten)]
    #[serde(skip)]
    pub copy: Rare<CopyStep>,

    /// The options of each wait that the command line gives.
    #[command(flatten)]
    #[serde(skip)]
    pub wait: Rare<WaitStep>,

    /// The options of the command that the command line gives.
    #[command(flatten)]
    #[serde(skip)]
    pub exec: ExecStep,

    /// What to do, in order.
    #[arg(skip)]
    pub steps: Vec<Step>,
}

/// One step of a hook file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Copy a directory of the image onto the volume.
    Copy(CopyStep),
    /// Wait until a condition holds.
    Wait(WaitStep),
    /// Run a command.
    Exec(ExecStep),
}

/// Copy the contents of one directory into another.
#[derive(Debug, Clone, Default, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "Copies")]
pub struct CopyStep {
    /// The content directory in the image.
    #[arg(skip)]
    pub from: PathBuf,

    /// The directory on the volume.
    #[arg(skip)]
    pub to: PathBuf,

    /// What wins where both image and volume changed a file: replace, keep-modified, missing [default: replace]
    #[arg(long, value_name = "POLICY", env = "HOOK_RUNNER_POLICY")]
    #[schemars(with = "Option<String>", extend("enum" = Policy::WORDS))]
    pub policy: Option<Policy>,

    /// What is removed from the volume: none, owned, all [default: none]
    #[arg(long, value_name = "WHAT", env = "HOOK_RUNNER_PRUNE")]
    #[schemars(with = "Option<String>", extend("enum" = Prune::WORDS))]
    pub prune: Option<Prune>,

    /// Leave out what matches, gitignore syntax (repeatable)
    #[arg(long, value_name = "GLOB", env = "HOOK_RUNNER_EXCLUDE", value_delimiter = '\n')]
    #[serde(default)]
    pub exclude: Vec<String>,

    /// Copy only what matches, gitignore syntax (repeatable)
    #[arg(long, value_name = "GLOB", env = "HOOK_RUNNER_INCLUDE", value_delimiter = '\n')]
    #[serde(default)]
    pub include: Vec<String>,

    /// Owner of what is copied [default: as in the source, where permitted]
    #[arg(long, value_name = "UID:GID", env = "HOOK_RUNNER_CHOWN")]
    #[schemars(with = "Option<String>")]
    pub chown: Option<Owner>,

    /// Mode changes of what is copied, as chmod(1) takes them [default: as in the source]
    #[arg(long, value_name = "MODE", env = "HOOK_RUNNER_CHMOD")]
    #[schemars(with = "Option<String>")]
    pub chmod: Option<ModeChange>,

    /// Fail when owner, xattrs or capabilities cannot be kept
    #[arg(long, env = "HOOK_RUNNER_STRICT_METADATA", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub strict_metadata: Option<bool>,

    /// Take a file with the same size and mtime as unchanged, without reading it
    #[arg(long, env = "HOOK_RUNNER_TRUST_MTIME", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub trust_mtime: Option<bool>,

    /// Follow directory symbolic links that stand on the volume
    #[arg(long, env = "HOOK_RUNNER_FOLLOW_DESTINATION_LINKS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub follow_destination_links: Option<bool>,

    /// Copy even when the volume seems too small
    #[arg(long, env = "HOOK_RUNNER_IGNORE_SPACE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub ignore_space: Option<bool>,

    /// Threads that copy [default: 16]
    #[arg(long, value_name = "N", env = "HOOK_RUNNER_WORKERS", value_parser = whole_number::<std::num::NonZeroUsize>)]
    pub workers: Option<std::num::NonZeroUsize>,

    /// Copy only share I of N (0/4 to 3/4), or auto: from an Indexed Job's environment. All shares of a copy need the
    /// same image and the same run id
    #[arg(long, value_name = "I/N", env = "HOOK_RUNNER_SHARD")]
    pub shard: Option<Sharding>,
}

impl Group for CopyStep {
    const VARIABLES: &'static [&'static str] = &[
        "HOOK_RUNNER_POLICY",
        "HOOK_RUNNER_PRUNE",
        "HOOK_RUNNER_EXCLUDE",
        "HOOK_RUNNER_INCLUDE",
        "HOOK_RUNNER_CHOWN",
        "HOOK_RUNNER_CHMOD",
        "HOOK_RUNNER_STRICT_METADATA",
        "HOOK_RUNNER_TRUST_MTIME",
        "HOOK_RUNNER_FOLLOW_DESTINATION_LINKS",
        "HOOK_RUNNER_IGNORE_SPACE",
        "HOOK_RUNNER_WORKERS",
        "HOOK_RUNNER_SHARD",
    ];
}

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

impl Group for WaitStep {
    const VARIABLES: &'static [&'static str] = &["HOOK_RUNNER_WAIT_TIMEOUT", "HOOK_RUNNER_WAIT_STATUS"];
}

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

/// Values that must not appear in a log, nor in the pod's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[command(next_help_heading = "Redaction")]
pub struct Redact {
    /// Redact the value of this environment variable (repeatable)
    #[arg(long = "redact-env", value_name = "NAME", env = "HOOK_RUNNER_REDACT_ENV", value_delimiter = '\n')]
    pub env: Vec<String>,

    /// Redact the content of this file, or of each file of this directory (repeatable)
    #[arg(
        long = "redact-file",
        value_name = "PATH",
        env = "HOOK_RUNNER_REDACT_FILE",
        value_delimiter = '\n'
    )]
    pub files: Vec<PathBuf>,

    /// Redact this text (repeatable)
    #[arg(
        long = "redact",
        value_name = "TEXT",
        env = "HOOK_RUNNER_REDACT",
        value_delimiter = '\n',
        hide_env_values = true
    )]
    pub literals: Vec<String>,
}

/// Which share of a copy is this process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharding {
    /// From `JOB_COMPLETION_INDEX` and `HOOK_RUNNER_COMPLETIONS`.
    Auto,
    /// This one.
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

impl<'de> Deserialize<'de> for Sharding {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Sharding {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sharding".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "I/N, or auto", "pattern": "^(auto|[0-9]+/[0-9]+)$"})
    }
}

fn command<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<OsString>, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    if words.is_empty() {
        return Err(serde::de::Error::custom("an empty command; expected [PROGRAM, ARGUMENT, …]"));
    }
    Ok(words.into_iter().map(OsString::from).collect())
}

/// Makes a key required whose field must be optional for the command line.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
