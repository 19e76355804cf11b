//! A hook as one source describes it: the command line with the environment, or a hook file. Both have this type, so
//! that each option of `run` is a flag, an environment variable and a key.

// Doc comments are the text of --help and of the schema, not Markdown.
#![allow(clippy::doc_markdown)]

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueHint};

use crate::hook::awaited::Awaited;
use crate::hook::copy_pair::CopyPair;
use crate::hook::copy_step::CopyStep;
use crate::hook::duration::{Limit, Timespan};
use crate::hook::exec_step::ExecStep;
use crate::hook::keys::{Keyed, Keys};
use crate::hook::log_format::LogFormat;
use crate::hook::log_target::{LogTarget, OnLogFailure};
use crate::hook::number::{Mode, Size, SizeLimit, whole_number};
use crate::hook::redact::Redact;
use crate::hook::run_id::RunId;
use crate::hook::step_layer::{StepLayer, StepLayers};
use crate::hook::switch::switch;
use crate::hook::wait_step::WaitStep;
use crate::hook::word::word;
use crate::hook::yaml::Mistake;

/// A hook as one source describes it. What the source leaves out is `None` or empty.
#[derive(Debug, Clone, Default, Args)]
pub struct Layer {
    /// Copy the contents of SRC into DST (repeatable)
    #[arg(long = "copy", value_name = "SRC:DST", value_hint = ValueHint::AnyPath, env = "HOOK_RUNNER_COPY",
          value_parser = OsStringValueParser::new().try_map(|text| CopyPair::parse(&text)))]
    pub copies: Vec<CopyPair>,

    /// Wait until COND holds: file:PATH, tcp:HOST:PORT, http://…, https://…, exec:COMMAND (repeatable)
    #[arg(long = "wait-for", value_name = "COND", env = "HOOK_RUNNER_WAIT_FOR")]
    pub waits: Vec<Awaited>,

    /// The preserved log, or none [default: post-hook-output.txt in the first copy's destination]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "HOOK_RUNNER_LOG",
          value_parser = OsStringValueParser::new().try_map(LogTarget::parse))]
    pub log: Option<LogTarget>,

    /// Time limit of the whole attempt; keep it below `helm --timeout` [default: none]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_TIMEOUT")]
    pub timeout: Option<Limit>,

    /// The run's id, such as the Job's UID [default: from release and revision, else unique]
    #[arg(long, value_name = "ID", env = "HOOK_RUNNER_RUN_ID")]
    pub run_id: Option<RunId>,

    /// Mode of a new log file [default: 0660]
    #[arg(help_heading = "Log", long, value_name = "MODE", env = "HOOK_RUNNER_LOG_MODE")]
    pub log_mode: Option<Mode>,

    /// What a failure of the log does to the result: fail, warn [default: fail]
    #[arg(help_heading = "Log", long, value_name = "WHAT", env = "HOOK_RUNNER_LOG_FAILURE", hide_possible_values = true, value_parser = word::<OnLogFailure>(OnLogFailure::WORDS))]
    pub log_failure: Option<OnLogFailure>,

    /// The state directory [default: .hook-runner beside the log]
    #[arg(help_heading = "Log", long, value_name = "DIR", value_hint = ValueHint::DirPath, env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,

    /// Logs of earlier runs to keep, in number [default: 20]
    #[arg(help_heading = "Log", long, value_name = "N", env = "HOOK_RUNNER_KEEP", value_parser = whole_number::<usize>)]
    pub keep: Option<usize>,

    /// Logs of earlier runs to keep, in bytes [default: 64MiB]
    #[arg(help_heading = "Log", long, value_name = "SIZE", env = "HOOK_RUNNER_KEEP_BYTES")]
    pub keep_bytes: Option<Size>,

    /// Logs of earlier runs to keep, in days since they were last written [default: no limit]
    #[arg(help_heading = "Log", long, value_name = "N", env = "HOOK_RUNNER_KEEP_DAYS", value_parser = whole_number::<u32>)]
    pub keep_days: Option<u32>,

    /// Keep only the first and the last part of an attempt's output above SIZE [default: no limit]
    #[arg(help_heading = "Log", long, value_name = "SIZE", env = "HOOK_RUNNER_MAX_LOG")]
    pub max_log: Option<SizeLimit>,

    /// Write the time before each line of the command to the log
    #[arg(help_heading = "Log", long, env = "HOOK_RUNNER_TIMESTAMPS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub timestamps: Option<bool>,

    /// Keep stdout and stderr apart; the order between them is then lost
    #[arg(help_heading = "Log", long, env = "HOOK_RUNNER_SPLIT_STREAMS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub split_streams: Option<bool>,

    /// Mark lines of stderr in the log (needs --split-streams)
    #[arg(help_heading = "Log", long, env = "HOOK_RUNNER_ANNOTATE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub annotate: Option<bool>,

    /// Time between TERM and KILL; keep it below terminationGracePeriodSeconds [default: 20s]
    #[arg(help_heading = "Time", long, value_name = "TIME", env = "HOOK_RUNNER_GRACE")]
    pub grace: Option<Timespan>,

    /// Time for output of processes that outlive the command [default: 2s]
    #[arg(help_heading = "Time", long, value_name = "TIME", env = "HOOK_RUNNER_DRAIN")]
    pub drain: Option<Timespan>,

    /// How long to wait for another run that holds the volume [default: 1m]
    #[arg(help_heading = "Time", long, value_name = "TIME", env = "HOOK_RUNNER_LOCK_TIMEOUT")]
    pub lock_timeout: Option<Timespan>,

    /// Where the summary goes as JSON [default: /dev/termination-log when it exists]
    #[arg(help_heading = "Pod", long, value_name = "FILE", env = "HOOK_RUNNER_TERMINATION_LOG")]
    pub termination_log: Option<PathBuf>,

    /// After the steps, also sync the volume of PATH; those of the log and the copies are synced anyway (repeatable)
    #[arg(help_heading = "Pod", long, value_name = "PATH", env = "HOOK_RUNNER_SYNC")]
    pub sync: Vec<PathBuf>,

    /// Certificates (PEM) that https waits trust [default: bundled roots]
    #[arg(help_heading = "Pod", long, value_name = "FILE", env = "HOOK_RUNNER_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Start the command in a session of its own, with the terminal if the runner leads the terminal's session
    #[arg(help_heading = "Pod", long, env = "HOOK_RUNNER_SETSID", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub setsid: Option<bool>,

    /// The runner's own lines on stderr: text, json [default: text]
    #[arg(help_heading = "Pod", long, value_name = "FORMAT", env = "HOOK_RUNNER_LOG_FORMAT", hide_possible_values = true, value_parser = word::<LogFormat>(LogFormat::WORDS))]
    pub log_format: Option<LogFormat>,

    /// Record the result as an Event on the Job (needs HOOK_RUNNER_JOB, and the verb create on events)
    #[arg(help_heading = "Pod", long, env = "HOOK_RUNNER_EVENTS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = switch)]
    pub events: Option<bool>,

    /// Write result and durations to FILE, for Prometheus' textfile collector
    #[arg(help_heading = "Pod", long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "HOOK_RUNNER_METRICS_FILE")]
    pub metrics_file: Option<PathBuf>,

    /// Secrets that the log must not show.
    #[command(flatten)]
    pub redact: Redact,

    /// The options of each copy that the command line gives; in a hook file each copy has its own.
    #[command(flatten)]
    pub copy: CopyStep,

    /// The options of each wait that the command line gives.
    #[command(flatten)]
    pub wait: WaitStep,

    /// The options of the command that the command line gives.
    #[command(flatten)]
    pub exec: ExecStep,

    /// What to do, in order.
    #[arg(skip)]
    pub steps: StepLayers,

    /// What to do when a step has failed: restore, notify.
    #[arg(skip)]
    pub on_failure: StepLayers,

    /// What to do at the end, whether the steps succeeded or not.
    #[arg(skip)]
    pub finally: StepLayers,
}

impl Layer {
    /// Gives `shard: auto` a value for `check`, because only a pod of an Indexed Job knows its share.
    pub fn assume_shard(&mut self) {
        self.copy.assume_shard();
        let rest = self.on_failure.0.iter_mut().chain(&mut self.finally.0);
        for step in self.steps.0.iter_mut().chain(rest) {
            if let StepLayer::Copy(copy) = step {
                copy.assume_shard();
            }
        }
    }
}

impl Keyed for Layer {
    const NAME: &'static str = "a hook";

    fn keys<K: Keys>(&mut self, keys: &mut K) -> Result<(), Mistake> {
        keys.optional("log", &mut self.log)?;
        keys.optional("timeout", &mut self.timeout)?;
        keys.optional("grace", &mut self.grace)?;
        keys.optional("log-mode", &mut self.log_mode)?;
        keys.optional("log-failure", &mut self.log_failure)?;
        keys.optional("state", &mut self.state)?;
        keys.optional("run-id", &mut self.run_id)?;
        keys.optional("lock-timeout", &mut self.lock_timeout)?;
        keys.optional("keep", &mut self.keep)?;
        keys.optional("keep-bytes", &mut self.keep_bytes)?;
        keys.optional("keep-days", &mut self.keep_days)?;
        keys.optional("drain", &mut self.drain)?;
        keys.optional("split-streams", &mut self.split_streams)?;
        keys.optional("timestamps", &mut self.timestamps)?;
        keys.optional("annotate", &mut self.annotate)?;
        keys.optional("max-log", &mut self.max_log)?;
        keys.optional("setsid", &mut self.setsid)?;
        keys.optional("ca-file", &mut self.ca_file)?;
        keys.optional("termination-log", &mut self.termination_log)?;
        keys.many("sync", &mut self.sync)?;
        keys.optional("log-format", &mut self.log_format)?;
        keys.optional("events", &mut self.events)?;
        keys.optional("metrics-file", &mut self.metrics_file)?;
        keys.many("redact", &mut self.redact)?;
        keys.many("steps", &mut self.steps)?;
        keys.many("on-failure", &mut self.on_failure)?;
        keys.many("finally", &mut self.finally)
    }
}
