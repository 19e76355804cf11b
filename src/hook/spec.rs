//! The checked hook: merges the layers (flags override the environment, which overrides the hook file), fills in
//! defaults, and checks everything that needs no volume.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::copy;
use crate::hook::duration::Timespan;
use crate::hook::layer::Layer;
use crate::hook::log_format::LogFormat;
use crate::hook::log_target::{LogTarget, OnLogFailure};
use crate::hook::redact::Redact;
use crate::hook::spec_error::SpecError;
use crate::hook::steps::{self, Step};
use crate::kubernetes::Follow;
use crate::support::LOG_NAME;

/// A hook, complete and checked.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The preserved log; `None` runs without one.
    pub log: Option<PathBuf>,
    /// The state directory, if not `.hook-runner` beside the log.
    pub state: Option<PathBuf>,
    /// The run id, if given.
    pub run_id: Option<String>,
    /// Mode bits of a new log.
    pub log_mode: u32,
    /// What a failure of the log does to the result.
    pub log_failure: OnLogFailure,
    /// Time limit of the whole attempt.
    pub timeout: Option<Duration>,
    /// Time from TERM to KILL.
    pub grace: Duration,
    /// The pod's grace period, within which the attempt has to end.
    pub pod_grace: Option<Duration>,
    /// Time for output of processes that outlive the command.
    pub drain: Duration,
    /// How long to wait for the volume's lock.
    pub lock_timeout: Duration,
    /// Logs of earlier runs to keep.
    pub keep: Keep,
    /// How the command's output is processed.
    pub output: Output,
    /// Start the command in a session of its own.
    pub setsid: bool,
    /// Where the summary goes as JSON.
    pub termination_log: Option<PathBuf>,
    /// Paths whose volumes are synced after the last step, besides those of the log and the copies.
    pub sync: Vec<PathBuf>,
    /// What the logs must not show.
    pub redact: Redact,
    /// How the runner's own lines look on stderr.
    pub log_format: LogFormat,
    /// Record the result as an Event on the Job.
    pub events: bool,
    /// Where the result goes for Prometheus.
    pub metrics_file: Option<PathBuf>,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// What to do when a step has failed.
    pub on_failure: Vec<Step>,
    /// What to do at the end in any case.
    pub finally: Vec<Step>,
}

/// How many logs of earlier runs to keep; all limits apply.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Number of runs.
    pub runs: usize,
    /// Total bytes.
    pub bytes: u64,
    /// Days since they were last written.
    pub days: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Two pipes instead of one.
    pub split_streams: bool,
    /// Write the time before each line in the log.
    pub timestamps: bool,
    /// Mark lines of stderr in the log.
    pub annotate: bool,
    /// Maximum bytes of the command's output in the log.
    pub max_log: Option<u64>,
}

impl Hook {
    /// The share of the first copy, if several pods of the same run copy at the same time.
    pub fn shard(&self) -> Option<copy::Shard> {
        steps::shard(&self.steps)
    }

    /// Merges the command line (with the environment) over the hook file and checks the result.
    ///
    /// Steps on the command line replace the file's whole list of steps. An option of a step kind (`--policy`,
    /// `--retries`, …) applies to every step of that kind.
    pub fn from_layers(flags: Layer, mut file: Layer) -> Result<Self, SpecError> {
        let ca_file = flags.ca_file.clone().or(file.ca_file.take());
        let steps = steps::merge(&flags, std::mem::take(&mut file.steps).0, ca_file.as_deref())?;
        if steps.is_empty() {
            return Err(SpecError::NoSteps);
        }
        let on_failure = steps::all(std::mem::take(&mut file.on_failure).0, &flags, ca_file.as_deref())?;
        let finally = steps::all(std::mem::take(&mut file.finally).0, &flags, ca_file.as_deref())?;
        let hook = Self::with_steps(flags, file, steps)?;
        Ok(Self { on_failure, finally, ..hook })
    }

    /// The hook of a sidecar. Its only step is to follow another container.
    pub fn of_sidecar(flags: Layer, follow: Follow) -> Result<Self, SpecError> {
        Self::with_steps(flags, Layer::default(), vec![Step::Follow(follow)])
    }

    fn with_steps(flags: Layer, file: Layer, steps: Vec<Step>) -> Result<Self, SpecError> {
        let log = place_of_log(flags.log.clone().or_else(|| file.log.clone()), &steps)?;
        let keep = Keep::of(&flags, &file);
        let split_streams = flags.split_streams.or(file.split_streams).unwrap_or(false);
        let annotate = flags.annotate.or(file.annotate).unwrap_or(false);
        if annotate && !split_streams {
            return Err(SpecError::AnnotateWithoutSplit);
        }
        Ok(Self {
            log,
            state: flags.state.or(file.state),
            run_id: flags.run_id.or(file.run_id).map(|id| id.0),
            log_mode: flags.log_mode.or(file.log_mode).map_or(0o660, |mode| mode.0),
            log_failure: flags.log_failure.or(file.log_failure).unwrap_or_default(),
            timeout: flags.timeout.or(file.timeout).map(|limit| limit.0),
            pod_grace: pod_grace()?,
            grace: flags.grace.or(file.grace).map_or(Duration::from_secs(20), |time| time.0),
            drain: flags.drain.or(file.drain).map_or(Duration::from_secs(2), |time| time.0),
            lock_timeout: flags
                .lock_timeout
                .or(file.lock_timeout)
                .map_or(Duration::from_secs(60), |time| time.0),
            keep,
            output: Output {
                split_streams,
                timestamps: flags.timestamps.or(file.timestamps).unwrap_or(false),
                annotate,
                max_log: flags.max_log.or(file.max_log).map(|limit| limit.0),
            },
            setsid: flags.setsid.or(file.setsid).unwrap_or(false),
            termination_log: flags.termination_log.or(file.termination_log),
            sync: if flags.sync.is_empty() { file.sync } else { flags.sync },
            redact: Redact {
                env: joined(flags.redact.env, file.redact.env),
                files: joined(flags.redact.files, file.redact.files),
                literals: joined(flags.redact.literals, file.redact.literals),
            },
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
            events: flags.events.or(file.events).unwrap_or(false),
            metrics_file: flags.metrics_file.or(file.metrics_file),
            steps,
            on_failure: Vec::new(),
            finally: Vec::new(),
        })
    }
}

/// The given file or none, else the default file in the first copy's destination.
fn place_of_log(given: Option<LogTarget>, steps: &[Step]) -> Result<Option<PathBuf>, SpecError> {
    let first_copy = steps.iter().find_map(|step| match step {
        // For a single file: beside that file.
        Step::Copy { from, to, .. } if from.is_file() => {
            Some(to.parent().unwrap_or(Path::new("")).join(LOG_NAME))
        }
        Step::Copy { to, .. } => Some(to.join(LOG_NAME)),
        _ => None,
    });
    let log = match given {
        Some(LogTarget::None) => None,
        Some(LogTarget::File(path)) => Some(path),
        None => Some(first_copy.ok_or(SpecError::NoLog)?),
    };
    Ok(match (log, steps::shard(steps)) {
        // Shards run at the same time, each with a log of its own.
        (Some(log), Some(shard)) => {
            let mut name = log.into_os_string();
            name.push(format!(".shard-{}", shard.index));
            Some(PathBuf::from(name))
        }
        (log, _) => log,
    })
}

impl Keep {
    fn of(flags: &Layer, file: &Layer) -> Self {
        Self {
            runs: flags.keep.or(file.keep).unwrap_or(20),
            bytes: flags.keep_bytes.or(file.keep_bytes).map_or(64 << 20, |size| size.0),
            days: flags.keep_days.or(file.keep_days),
        }
    }
}

/// Joins both lists: a secret is redacted whichever layer names it.
fn joined<T>(mut one: Vec<T>, other: Vec<T>) -> Vec<T> {
    one.extend(other);
    one
}

/// `terminationGracePeriodSeconds`, set by the charts: whole seconds or a duration.
fn pod_grace() -> Result<Option<Duration>, SpecError> {
    let Some(text) = std::env::var_os("HOOK_RUNNER_TERMINATION_GRACE_PERIOD") else { return Ok(None) };
    let text = text.to_string_lossy();
    if text.is_empty() {
        return Ok(None);
    }
    let seconds = || text.parse().ok().map(Duration::from_secs);
    match text.parse::<Timespan>().ok().map(|time| time.0).or_else(seconds) {
        None => Err(SpecError::PodGrace { text: text.into_owned() }),
        time => Ok(time),
    }
}
