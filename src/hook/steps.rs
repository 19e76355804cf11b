//! The checked steps of a hook: those of the command line or those of the hook file, with their options.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::copy;
use crate::hook::awaited::Awaited;
use crate::hook::copy_step::{CopyStep, copy_options};
use crate::hook::exec_step::{CommandSpec, ExecStep, PollSpec};
use crate::hook::layer::Layer;
use crate::hook::spec_error::SpecError;
use crate::hook::step_layer::StepLayer;
use crate::hook::wait::{Auth, DEFAULT_PROBE_TIMEOUT, Wait};
use crate::hook::wait_step::WaitStep;
use crate::hook::when::When;
use crate::http::Roots;
use crate::kubernetes::Follow;

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
        /// Limits the step to some runs.
        when: Option<When>,
    },
    /// Wait until a condition holds.
    Wait(Wait),
    /// Wait until a command succeeds.
    Poll(PollSpec),
    /// Preserve the log of another container of the pod.
    Follow(Follow),
    /// Run a command.
    Exec(CommandSpec),
}

impl Step {
    /// The runs that the step is limited to; `None` for all.
    pub fn when(&self) -> Option<&When> {
        match self {
            Self::Copy { when, .. } => when.as_ref(),
            Self::Wait(wait) => wait.when.as_ref(),
            Self::Poll(spec) => spec.when.as_ref(),
            Self::Exec(spec) => spec.when.as_ref(),
            Self::Follow(_) => None,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Copy { from, to, .. } => write!(f, "copy {} to {}", from.display(), to.display()),
            Self::Wait(wait) => write!(f, "wait for {}", wait.condition),
            Self::Poll(spec) => {
                write!(f, "wait until it succeeds:")?;
                words(f, &spec.command)
            }
            Self::Follow(follow) => write!(f, "follow container {}", follow.container),
            Self::Exec(CommandSpec { name: Some(name), .. }) => f.write_str(name),
            Self::Exec(spec) => {
                write!(f, "exec")?;
                words(f, &spec.command)
            }
        }
    }
}

/// The words of a command, each preceded by a space.
fn words(f: &mut std::fmt::Formatter<'_>, words: &[OsString]) -> std::fmt::Result {
    words.iter().try_for_each(|word| write!(f, " {}", quoted(&word.display().to_string())))
}

/// Quotes a word as a shell would need it. A word with a quote stays unchanged, so that redaction still finds a secret
/// in it.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c) || !c.is_ascii();
    if word.contains('\'') || !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{word}'").into()
}

/// The share of the first copy, if several pods of the same run copy at the same time.
pub fn shard(steps: &[Step]) -> Option<copy::Shard> {
    steps.iter().find_map(|step| match step {
        Step::Copy { options, .. } => options.shard,
        _ => None,
    })
}

/// The steps of a hook: steps on the command line replace the file's.
pub fn merge(flags: &Layer, file: Vec<StepLayer>, ca_file: Option<&Path>) -> Result<Vec<Step>, SpecError> {
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
    all(steps, flags, ca_file)
}

/// The steps of `on-failure` or `finally`, which only a hook file has.
pub fn all(steps: Vec<StepLayer>, flags: &Layer, ca_file: Option<&Path>) -> Result<Vec<Step>, SpecError> {
    steps.into_iter().map(|step| checked(step, flags, ca_file)).collect()
}

fn checked_wait(step: WaitStep, flags: &WaitStep, ca_file: Option<&Path>) -> Result<Step, SpecError> {
    if step.wait_auth_file.is_some() && step.wait_auth_env.is_some() {
        return Err(SpecError::TwoCredentials);
    }
    let auth = |of: &WaitStep| {
        let file = of.wait_auth_file.clone().map(Auth::File);
        file.or_else(|| of.wait_auth_env.clone().map(|name| Auth::Variable(name.0)))
    };
    let auth = auth(flags).or_else(|| auth(&step));
    let timeout = flags.wait_timeout.or(step.wait_timeout).map_or(Duration::from_secs(60), |time| time.0);
    let probe_timeout =
        flags.wait_try_timeout.or(step.wait_try_timeout).map_or(DEFAULT_PROBE_TIMEOUT, |time| time.0);
    let condition = match step.r#for.ok_or(SpecError::NoSteps)? {
        Awaited::Command(command) => return Ok(Step::Poll(PollSpec { command, timeout, when: step.when })),
        Awaited::Condition(condition) => condition,
    };
    Ok(Step::Wait(Wait {
        timeout: Some(timeout),
        probe_timeout,
        status: flags.wait_status.or(step.wait_status).unwrap_or_default(),
        roots: Roots::choose(ca_file),
        headers: if flags.wait_header.is_empty() { step.wait_header } else { flags.wait_header.clone() },
        auth,
        unix_socket: flags.wait_unix_socket.clone().or(step.wait_unix_socket),
        when: step.when,
        ..Wait::new(condition)
    }))
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
            Step::Copy { from: step.from, to: step.to, options, when: step.when }
        }
        StepLayer::Wait(step) => checked_wait(step, &flags.wait, ca_file)?,
        StepLayer::Exec(step) => Step::Exec(step.checked(&flags.exec)?),
    })
}
