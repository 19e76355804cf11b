//! What a hook is: the layers merged (flags beat the environment, which beats the hook file), defaults put
//! in, and everything checked that can be checked without touching a volume.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layer::{CopyStep, ExecStep, Layer, Redact, Sharding, Step as StepLayer, WaitStep};
use super::values::{LogTarget, OnLogFailure, Timespan};
use super::wait::Wait;
use crate::copy;
use crate::http::Roots;
use crate::sidecar::Follow;

/// A hook, complete and checked.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The preserved log; `None` runs without one.
    pub log: Option<PathBuf>,
    /// The state directory, when it is not `.hook-runner` beside the log.
    pub state: Option<PathBuf>,
    /// The run's id, when it was given.
    pub run_id: Option<String>,
    /// Mode bits of a new log.
    pub log_mode: u32,
    /// What a failing log does to the result.
    pub log_failure: OnLogFailure,
    /// Limit of the whole attempt.
    pub timeout: Option<Duration>,
    /// From TERM to KILL.
    pub grace: Duration,
    /// The pod's own grace period, in which the attempt has to end.
    pub pod_grace: Option<Duration>,
    /// For output of processes that outlive the command.
    pub drain: Duration,
    /// How long to wait for the volume's lock.
    pub lock_timeout: Duration,
    /// Logs of earlier runs to keep.
    pub keep: Keep,
    /// How the command's output is treated on its way.
    pub output: Output,
    /// The command gets a session of its own.
    pub setsid: bool,
    /// The summary's JSON.
    pub termination_log: Option<PathBuf>,
    /// What the logs must not show.
    pub redact: Redact,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// How many logs of earlier runs stay; both limits hold.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// In number.
    pub runs: usize,
    /// In bytes, all together.
    pub bytes: u64,
}

/// How the command's output is treated on its way.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Two pipes in place of one.
    pub split_streams: bool,
    /// The time before each line in the log.
    pub timestamps: bool,
    /// Lines of stderr marked in the log.
    pub annotate: bool,
    /// Bytes of the command's output that the log holds at most.
    pub max_log: Option<u64>,
}

/// One step, checked.
#[derive(Debug, Clone)]
pub enum Step {
    /// Copy a directory onto the volume.
    Copy {
        /// The content directory in the image.
        from: PathBuf,
        /// The directory on the volume.
        to: PathBuf,
        /// The engine's options.
        options: Box<copy::Options>,
    },
    /// Wait until a condition holds.
    Wait(Wait),
    /// Preserve the log of another container of the pod.
    Follow(Follow),
    /// Run a command.
    Exec {
        /// Program and arguments.
        command: Vec<OsString>,
        /// For how long at most, each try.
        timeout: Option<Duration>,
        /// Starts after the first.
        retries: u32,
        /// Pause before the first retry.
        backoff: Duration,
    },
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Copy { from, to, .. } => write!(f, "copy {} to {}", from.display(), to.display()),
            Self::Wait(wait) => write!(f, "wait for {}", wait.condition),
            Self::Follow(follow) => write!(f, "follow container {}", follow.container),
            Self::Exec { command, .. } => {
                write!(f, "exec")?;
                command.iter().try_for_each(|word| write!(f, " {}", quoted(&word.display().to_string())))
            }
        }
    }
}

/// A word as a shell takes it for one. One with a quote in it stays as it is: a secret in it must be found.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c) || !c.is_ascii();
    if word.contains('\'') || !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{word}'").into()
}

/// A hook that cannot be what was meant; the sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The hook file.
    #[error(transparent)]
    File(#[from] super::file::FileError),
    /// Nothing to do.
    #[error(
        "the hook has no steps; give --copy SRC:DST, --wait-for COND, -- COMMAND, or steps in the file of --hook"
    )]
    NoSteps,
    /// No place for the log.
    #[error(
        "there is no place for the preserved log: the hook has no copy; give --log FILE, or --log none to run without one"
    )]
    NoLog,
    /// A run id that cannot name a file.
    #[error(
        "the run id '{id}' cannot name a file: expected 1 to 128 of A-Z a-z 0-9 . _ -, not starting with a dot; correct --run-id (HOOK_RUNNER_RUN_ID)"
    )]
    RunId {
        /// As given.
        id: String,
    },
    /// `--shard auto` outside an Indexed Job.
    #[error(
        "--shard auto: {variable} {problem}; use it in a Job with completionMode: Indexed, and set HOOK_RUNNER_COMPLETIONS to its completions"
    )]
    Shard {
        /// The environment variable.
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A path with nothing in it.
    #[error("the {what} of a copy is empty; give both, as in --copy /app:/data")]
    EmptyPath {
        /// Which side.
        what: &'static str,
    },
    /// A log that can be no file.
    #[error("the log '{}' names no file; give the path of one, as in --log /data/post-hook-output.txt, or --log none", path.display())]
    LogNamesNoFile {
        /// As given.
        path: PathBuf,
    },
    /// A limit that nothing can keep.
    #[error(
        "a {what} of 0 is over before anything has begun; give a longer one, or leave it out for no limit"
    )]
    NoTime {
        /// Which limit.
        what: &'static str,
    },
    /// A command whose first word is empty: a variable that is not set, most likely.
    #[error("the command's name is empty; is a variable in it not set?")]
    EmptyCommand,
    /// A log that may hold nothing.
    #[error("--max-log is 0, which leaves the log nothing; give more, or leave it out for no limit")]
    NoRoom,
    /// The pod's grace period in words that nobody understands.
    #[error(
        "HOOK_RUNNER_TERMINATION_GRACE_PERIOD is '{text}'; expected the pod's terminationGracePeriodSeconds, such as 30"
    )]
    PodGrace {
        /// As given.
        text: String,
    },
    /// `--annotate` without two pipes.
    #[error("--annotate needs --split-streams: one pipe for both streams does not tell them apart")]
    AnnotateWithoutSplit,
}

impl Hook {
    /// The share that the first copy has, of several that pods of the same run copy at the same time.
    pub fn shard(&self) -> Option<copy::Shard> {
        self.steps.iter().find_map(|step| match step {
            Step::Copy { options, .. } => options.shard,
            _ => None,
        })
    }

    /// Merges the command line (with the environment) over the hook file and checks the result.
    ///
    /// Steps given on the command line replace the file's list of steps as a whole; an option of a step
    /// kind (`--policy`, `--retries`, …) holds for each step of that kind, wherever it came from.
    pub fn from_layers(flags: Layer, mut file: Layer) -> Result<Self, SpecError> {
        let ca_file = flags.ca_file.clone().or(file.ca_file.take());
        let steps = merge_steps(&flags, std::mem::take(&mut file.steps), ca_file.as_deref())?;
        if steps.is_empty() {
            return Err(SpecError::NoSteps);
        }
        Self::with_steps(flags, file, steps)
    }

    /// The hook of a sidecar: to follow another container is its one step.
    pub fn of_sidecar(flags: Layer, follow: Follow) -> Result<Self, SpecError> {
        Self::with_steps(flags, Layer::default(), vec![Step::Follow(follow)])
    }

    fn with_steps(flags: Layer, file: Layer, steps: Vec<Step>) -> Result<Self, SpecError> {
        let first_copy = steps.iter().find_map(|step| match step {
            Step::Copy { to, .. } => Some(to.join("post-hook-output.txt")),
            _ => None,
        });
        let log = match flags.log.or(file.log) {
            Some(LogTarget::None) => None,
            Some(LogTarget::File(path)) if !names_file(&path) => {
                return Err(SpecError::LogNamesNoFile { path });
            }
            Some(LogTarget::File(path)) => Some(path),
            None => Some(first_copy.ok_or(SpecError::NoLog)?),
        };
        let shard = steps.iter().find_map(|step| match step {
            Step::Copy { options, .. } => options.shard,
            _ => None,
        });
        let log = match (log, shard) {
            // Shares run side by side: each has a log of its own.
            (Some(log), Some(shard)) => {
                let mut name = log.into_os_string();
                name.push(format!(".shard-{}", shard.index));
                Some(PathBuf::from(name))
            }
            (log, _) => log,
        };
        let run_id = flags.run_id.or(file.run_id).filter(|id| !id.is_empty());
        if let Some(id) = run_id.as_deref().filter(|id| !usable_run_id(id)) {
            return Err(SpecError::RunId { id: id.into() });
        }
        let split_streams = flags.split_streams.or(file.split_streams).unwrap_or(false);
        let annotate = flags.annotate.or(file.annotate).unwrap_or(false);
        if annotate && !split_streams {
            return Err(SpecError::AnnotateWithoutSplit);
        }
        let max_log = flags.max_log.or(file.max_log).map(|size| size.0);
        if max_log == Some(0) {
            return Err(SpecError::NoRoom);
        }
        Ok(Self {
            log,
            state: flags.state.or(file.state),
            run_id,
            log_mode: flags.log_mode.or(file.log_mode).map_or(0o640, |mode| mode.0),
            log_failure: flags.log_failure.or(file.log_failure).unwrap_or_default(),
            timeout: limit(flags.timeout.or(file.timeout), "timeout of the attempt")?,
            pod_grace: pod_grace()?,
            grace: flags.grace.or(file.grace).map_or(Duration::from_secs(20), |time| time.0),
            drain: flags.drain.or(file.drain).map_or(Duration::from_secs(2), |time| time.0),
            lock_timeout: flags
                .lock_timeout
                .or(file.lock_timeout)
                .map_or(Duration::from_secs(60), |time| time.0),
            keep: Keep {
                runs: flags.keep.or(file.keep).unwrap_or(20),
                bytes: flags.keep_bytes.or(file.keep_bytes).map_or(64 << 20, |size| size.0),
            },
            output: Output {
                split_streams,
                timestamps: flags.timestamps.or(file.timestamps).unwrap_or(false),
                annotate,
                max_log,
            },
            setsid: flags.setsid.or(file.setsid).unwrap_or(false),
            termination_log: flags.termination_log.or(file.termination_log),
            redact: Redact {
                env: joined(flags.redact.env, file.redact.env),
                files: joined(flags.redact.files, file.redact.files),
                literals: joined(flags.redact.literals, file.redact.literals),
            },
            steps,
        })
    }
}

/// A secret named anywhere stays redacted: the lists add up in place of one beating the other.
fn joined<T>(mut one: Vec<T>, other: Vec<T>) -> Vec<T> {
    one.extend(other);
    one
}

/// A time limit, if there is one.
fn limit(time: Option<Timespan>, what: &'static str) -> Result<Option<Duration>, SpecError> {
    match time {
        Some(Timespan(Duration::ZERO)) => Err(SpecError::NoTime { what }),
        time => Ok(time.map(|time| time.0)),
    }
}

/// Whether a file can have this path: its last name is neither missing nor `.` nor `..`, and no slash follows it.
fn names_file(path: &Path) -> bool {
    let last = path.as_os_str().as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    !matches!(last, b"" | b"." | b"..")
}

/// A run id becomes the name of the archived log, so it must be a plain file name.
fn usable_run_id(id: &str) -> bool {
    id.len() <= 128
        && !id.starts_with('.')
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn merge_steps(flags: &Layer, file: Vec<StepLayer>, ca_file: Option<&Path>) -> Result<Vec<Step>, SpecError> {
    let mut given: Vec<StepLayer> = Vec::new();
    for pair in &flags.copies {
        given.push(StepLayer::Copy(CopyStep {
            from: pair.from.clone(),
            to: pair.to.clone(),
            ..CopyStep::default()
        }));
    }
    for condition in &flags.waits {
        given.push(StepLayer::Wait(WaitStep { r#for: Some(condition.clone()), ..WaitStep::default() }));
    }
    if !flags.exec.command.is_empty() {
        given.push(StepLayer::Exec(ExecStep { command: flags.exec.command.clone(), ..ExecStep::default() }));
    }
    let steps = if given.is_empty() { file } else { given };
    steps.into_iter().map(|step| checked(step, flags, ca_file)).collect()
}

/// `terminationGracePeriodSeconds`, which the charts pass on; whole seconds, or a duration.
fn pod_grace() -> Result<Option<Duration>, SpecError> {
    let Some(text) = std::env::var_os("HOOK_RUNNER_TERMINATION_GRACE_PERIOD") else { return Ok(None) };
    let text = text.to_string_lossy();
    if text.is_empty() {
        return Ok(None);
    }
    let seconds = || text.parse().ok().map(Duration::from_secs);
    match humantime::parse_duration(&text).ok().or_else(seconds) {
        None => Err(SpecError::PodGrace { text: text.into_owned() }),
        time => Ok(time),
    }
}

fn checked(step: StepLayer, flags: &Layer, ca_file: Option<&Path>) -> Result<Step, SpecError> {
    Ok(match step {
        StepLayer::Copy(step) => {
            for (path, what) in [(&step.from, "source"), (&step.to, "destination")] {
                if path.as_os_str().is_empty() {
                    return Err(SpecError::EmptyPath { what });
                }
            }
            let options = Box::new(copy_options(&flags.copy, &step)?);
            Step::Copy { from: step.from, to: step.to, options }
        }
        StepLayer::Wait(step) => {
            let mut wait = Wait::new(step.r#for.ok_or(SpecError::NoSteps)?);
            wait.timeout =
                Some(flags.wait.timeout.or(step.timeout).map_or(Duration::from_secs(60), |time| time.0));
            wait.status = flags.wait.status.or(step.status).unwrap_or_default();
            wait.roots = Roots::choose(ca_file);
            Step::Wait(wait)
        }
        StepLayer::Exec(step) if step.command.first().is_some_and(|name| name.is_empty()) => {
            return Err(SpecError::EmptyCommand);
        }
        StepLayer::Exec(step) => Step::Exec {
            command: step.command,
            timeout: limit(flags.exec.timeout.or(step.timeout), "timeout of a command")?,
            retries: flags.exec.retries.or(step.retries).unwrap_or(0),
            backoff: flags.exec.backoff.or(step.backoff).map_or(Duration::from_secs(1), |time| time.0),
        },
    })
}

/// The copy engine's options from the command line's over the step's own.
pub fn copy_options(flags: &CopyStep, step: &CopyStep) -> Result<copy::Options, SpecError> {
    let list =
        |flags: &Vec<String>, step: &Vec<String>| if flags.is_empty() { step.clone() } else { flags.clone() };
    Ok(copy::Options {
        policy: flags.policy.or(step.policy).unwrap_or_default(),
        prune: flags.prune.or(step.prune).unwrap_or_default(),
        exclude: list(&flags.exclude, &step.exclude),
        include: list(&flags.include, &step.include),
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
        shard: match flags.shard.or(step.shard) {
            None => None,
            Some(Sharding::Of(shard)) => Some(shard),
            Some(Sharding::Auto) => Some(shard_from_environment()?),
        },
        dry_run: false,
    })
}

/// The share of an Indexed Job's pod: its index is 0-based (`JOB_COMPLETION_INDEX`, set by Kubernetes), the
/// number of shares is the Job's completions, which Kubernetes does not tell; the charts set it.
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
