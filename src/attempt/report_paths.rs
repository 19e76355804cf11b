//! Where the attempt reports to beside its log: a path that would replace the log, or what is no file, is refused before
//! anything is made.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::outcome::Failure;
use crate::exit::Kind;
use crate::hook::spec::Hook;

/// Checks `--termination-log` and `--metrics-file`.
pub(super) fn check(hook: &Hook) -> Result<(), Failure> {
    match (wrong_termination_log(hook), wrong_metrics_file(hook)) {
        (Some(wrong), _) | (None, Some(wrong)) => {
            Err(Failure::new(Kind::Config, wrong).advise("give it a path of its own"))
        }
        (None, None) => Ok(()),
    }
}

/// Where the termination message goes.
pub fn termination_log(hook: &Hook) -> Option<&Path> {
    hook.termination_log.as_deref().filter(|_| wrong_termination_log(hook).is_none())
}

/// Where the metrics go.
pub fn metrics_file(hook: &Hook) -> Option<&Path> {
    hook.metrics_file.as_deref().filter(|_| wrong_metrics_file(hook).is_none())
}

fn wrong_termination_log(hook: &Hook) -> Option<String> {
    let path = hook.termination_log.as_deref()?;
    is_log(hook, path).then(|| format!("--termination-log {} is the preserved log", path.display()))
}

fn wrong_metrics_file(hook: &Hook) -> Option<String> {
    let path = hook.metrics_file.as_deref()?;
    // It is replaced by rename.
    let is_file = path.symlink_metadata().ok().is_none_or(|found| found.is_file());
    if is_log(hook, path) {
        Some(format!("--metrics-file {} is the preserved log", path.display()))
    } else {
        (!is_file).then(|| format!("--metrics-file {} is no file, and would be replaced", path.display()))
    }
}

fn is_log(hook: &Hook, path: &Path) -> bool {
    hook.log.as_deref().is_some_and(|log| are_one(path, log))
}

/// By name, or because both lead to one file.
fn are_one(a: &Path, b: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    let file = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    absolute(a).is_some() && absolute(a) == absolute(b) || file(a).is_some() && file(a) == file(b)
}
