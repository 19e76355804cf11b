//! The files besides the log that an attempt reports to. A path that would replace the log, or that cannot be a file,
//! is refused before anything is created.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::outcome::Failure;
use crate::exit::Kind;
use crate::hook::spec::Hook;
use crate::hook::steps::Step;
use crate::support::own::STATE_DIRECTORY;
use crate::support::real_path::real;

/// Checks `--termination-log`, `--metrics-file` and copies of single files.
pub(super) fn check(hook: &Hook) -> Result<(), Failure> {
    let wrong = wrong_termination_log(hook).or_else(|| wrong_metrics_file(hook)).or_else(|| wrong_copy(hook));
    wrong.map_or(Ok(()), |wrong| Err(Failure::new(Kind::Config, wrong).advise("give it a path of its own")))
}

pub fn termination_log(hook: &Hook) -> Option<&Path> {
    hook.termination_log.as_deref().filter(|_| wrong_termination_log(hook).is_none())
}

pub fn metrics_file(hook: &Hook) -> Option<&Path> {
    hook.metrics_file.as_deref().filter(|_| wrong_metrics_file(hook).is_none())
}

fn wrong_termination_log(hook: &Hook) -> Option<String> {
    let path = hook.termination_log.as_deref()?;
    let shown = path.display();
    if is_log(hook, path) {
        Some(format!("--termination-log {shown} is the preserved log"))
    } else if let Some(file) = copied_file(hook, path) {
        Some(format!("--termination-log {shown} is {file}"))
    } else if let Some(what) = no_message_file(path) {
        Some(what)
    } else {
        has_no_directory(hook, path)
            .then(|| format!("--termination-log {shown} is in a directory that is not there"))
    }
}

/// Why `path` can hold no termination message: what stands there is no file. A kubelet reads it when the container has ended,
/// so what is written into a pipe or a device is lost.
pub fn no_message_file(path: &Path) -> Option<String> {
    let kind = path.metadata().ok()?.file_type();
    let what = match () {
        () if kind.is_file() => return None,
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Some(format!("--termination-log {} is {what}, and the message needs a file", path.display()))
}

fn wrong_metrics_file(hook: &Hook) -> Option<String> {
    let path = hook.metrics_file.as_deref()?;
    let shown = path.display();
    // Written by a rename, which would replace whatever is there.
    let is_file = path.symlink_metadata().ok().is_none_or(|found| found.is_file());
    if is_log(hook, path) {
        Some(format!("--metrics-file {shown} is the preserved log"))
    } else if let Some(file) = copied_file(hook, path) {
        Some(format!("--metrics-file {shown} is {file}"))
    } else if hook.termination_log.as_deref().is_some_and(|other| are_one(path, other)) {
        Some(format!("--metrics-file {shown} is the termination log, too"))
    } else if !is_file {
        Some(format!("--metrics-file {shown} is no file, and would be replaced"))
    } else {
        has_no_directory(hook, path)
            .then(|| format!("--metrics-file {shown} is in a directory that is not there"))
    }
}

/// Whether the directory is missing, and neither the log nor a copy will create it.
fn has_no_directory(hook: &Hook, path: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let path = absolute(path);
    let Some(parent) = path.parent().filter(|parent| !parent.exists()) else { return false };
    let copied = hook.steps.iter().filter_map(|step| match step {
        Step::Copy { to, .. } => Some(absolute(to)),
        _ => None,
    });
    let log = hook.log.as_deref().and_then(|log| absolute(log).parent().map(Path::to_path_buf));
    !copied.chain(log).any(|made| parent.starts_with(&made) || made.starts_with(parent))
}

fn wrong_copy(hook: &Hook) -> Option<String> {
    let steps = hook.steps.iter().chain(&hook.on_failure).chain(&hook.finally);
    let wrong = |step: &Step| match step {
        Step::Copy { from, to, .. } if from.is_file() && is_log(hook, to) => {
            Some(format!("{}, which {} is copied to, is the preserved log", to.display(), from.display()))
        }
        Step::Copy { from, to, .. } if is_at_log(hook, from, to) => Some(format!(
            "the destination {} would be in the place of the preserved log, or the log in its place",
            to.display()
        )),
        Step::Copy { to, .. } if is_in_state(hook, to) => {
            Some(format!("the destination {} is where hook-runner keeps logs and state", to.display()))
        }
        _ => None,
    };
    steps.into_iter().find_map(wrong)
}

/// Whether the log would have to be a directory for this copy, or what is a file of the copy for the log.
fn is_at_log(hook: &Hook, from: &Path, to: &Path) -> bool {
    let Some(log) = hook.log.as_deref().map(real) else { return false };
    let to = real(to);
    to.starts_with(&log) || from.is_file() && log.starts_with(&to)
}

/// The copy whose file would be replaced by a report at `path`.
fn copied_file(hook: &Hook, path: &Path) -> Option<String> {
    let path = real(path);
    hook.steps.iter().find_map(|step| {
        let Step::Copy { from, to, options, .. } = step else { return None };
        let is_whole = options.exclude.is_empty() && options.include.is_empty();
        let source = match path.strip_prefix(real(to)).ok()? {
            rel if rel.as_os_str().is_empty() => from.clone(),
            rel => from.join(rel),
        };
        (is_whole && source.is_file()).then(|| format!("where {} is copied to", source.display()))
    })
}

/// Also true in a state directory that does not exist yet.
fn is_in_state(hook: &Hook, path: &Path) -> bool {
    let path = real(path);
    path.iter().any(|name| name == STATE_DIRECTORY)
        || hook.state.as_deref().is_some_and(|state| path.starts_with(real(state)))
}

fn is_log(hook: &Hook, path: &Path) -> bool {
    hook.log.as_deref().is_some_and(|log| are_one(path, log))
}

/// Whether two paths are equal or lead to the same file.
fn are_one(a: &Path, b: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    let file = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    absolute(a).is_some() && absolute(a) == absolute(b) || file(a).is_some() && file(a) == file(b)
}
