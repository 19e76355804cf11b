//! One layer of what somebody says about a hook: the command line with the environment, or a hook file.
//! Both are this one type, so each option of `run` has a flag, an environment variable and a key.

// Doc comments are the text of --help and of the schema, not Markdown.
#![allow(clippy::doc_markdown)]

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::hook::condition::Condition;
use crate::hook::copy_pair::CopyPair;
use crate::hook::copy_step::CopyStep;
use crate::hook::duration::Timespan;
use crate::hook::exec_step::ExecStep;
use crate::hook::log_target::{LogTarget, OnLogFailure};
use crate::hook::number::{Mode, Size, whole_number};
use crate::hook::redact::Redact;
use crate::hook::wait_step::WaitStep;

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
    pub copy: CopyStep,

    /// The options of each wait that the command line gives.
    #[command(flatten)]
    #[serde(skip)]
    pub wait: WaitStep,

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
