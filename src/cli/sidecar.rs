//! `hook-runner sidecar`.

use std::path::PathBuf;

use super::termination::Termination;
use crate::hook::duration::{Limit, Timespan};
use crate::hook::log_format::LogFormat;
use crate::hook::non_empty::NonEmpty;
use crate::hook::run_id::RunId;
use crate::hook::word::word;

/// Preserve the log of another container of this pod, and exit as it does
#[derive(Debug, clap::Args)]
pub struct Sidecar {
    /// The container whose log is preserved
    #[arg(long, value_name = "NAME", env = "HOOK_RUNNER_CONTAINER")]
    pub container: NonEmpty,
    /// The preserved log
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_LOG")]
    pub log: PathBuf,
    /// The state directory [default: .hook-runner beside the log]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_STATE")]
    pub state: Option<PathBuf>,
    /// The run's id, such as the Job's UID [default: from release and revision, else unique]
    #[arg(long, value_name = "ID", env = "HOOK_RUNNER_RUN_ID")]
    pub run_id: Option<RunId>,
    /// Time from TERM to the end, for the other container's last lines [default: 20s]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_GRACE")]
    pub grace: Option<Timespan>,
    /// Time limit of the whole attempt; keep it below `helm --timeout` [default: none]
    #[arg(long, value_name = "TIME", env = "HOOK_RUNNER_TIMEOUT")]
    pub timeout: Option<Limit>,
    /// Certificates (PEM) of the API server [default: the service account's]
    #[arg(long, value_name = "FILE", env = "HOOK_RUNNER_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Directory with the service account's token [default: /var/run/secrets/kubernetes.io/serviceaccount]
    #[arg(long, value_name = "DIR", env = "HOOK_RUNNER_SERVICE_ACCOUNT")]
    pub service_account: Option<PathBuf>,
    /// The runner's own lines on stderr: text, json [default: text]
    #[arg(long, value_name = "FORMAT", env = "HOOK_RUNNER_LOG_FORMAT", hide_possible_values = true, value_parser = word::<LogFormat>(LogFormat::WORDS))]
    pub log_format: Option<LogFormat>,
    /// Where the summary goes.
    #[command(flatten)]
    pub termination: Termination,
}
