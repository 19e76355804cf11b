//! A working directory that was removed before the start: what needs none works; a relative path leads nowhere, and is refused
//! before anything is made.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::outcome::Failure;
use crate::exit::Kind;
use crate::hook::spec::Hook;
use crate::hook::steps::Step;

/// Refuses a relative path among `paths` where the working directory is gone.
pub fn check<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
    // getcwd(3): ENOENT, the directory has been removed.
    if !std::env::current_dir().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    let Some(relative) = paths.into_iter().find(|path| path.is_relative()) else { return Ok(()) };
    let what = format!("{} is relative to the working directory, which was removed", relative.display());
    Err(Failure::new(Kind::Config, what)
        .advise("start hook-runner in a directory that is there, or give absolute paths"))
}

/// All paths of a hook.
pub(super) fn paths_of(hook: &Hook) -> impl Iterator<Item = &Path> {
    let steps = hook.steps.iter().chain(&hook.on_failure).chain(&hook.finally);
    let reports = [&hook.log, &hook.state, &hook.termination_log, &hook.metrics_file];
    let reports = reports.into_iter().flatten().chain(&hook.sync).map(PathBuf::as_path);
    reports.chain(steps.flat_map(paths_of_step))
}

fn paths_of_step(step: &Step) -> Vec<&Path> {
    match step {
        Step::Copy { from, to, .. } => vec![from, to],
        Step::Exec(spec) => spec.workdir.as_deref().into_iter().chain(program(&spec.command)).collect(),
        Step::Poll(spec) => program(&spec.command).into_iter().collect(),
        Step::Wait(_) | Step::Follow(_) => Vec::new(),
    }
}

/// The command, where it is a path and no name that is looked for in PATH.
fn program(command: &[OsString]) -> Option<&Path> {
    let word: &OsStr = command.first()?;
    word.as_encoded_bytes().contains(&b'/').then(|| Path::new(word))
}
