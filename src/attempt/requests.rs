//! What the copy engine is asked for on behalf of the hook's copy steps.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::session::Session;
use crate::copy;
use crate::hook::steps::Step;
use crate::volume::STATE_DIRECTORY;

/// The engine's request for a copy step.
pub(super) fn copy_request(
    context: &Context<'_>,
    session: &Session,
    (from, to): (&Path, &Path),
    options: &copy::Options,
) -> copy::Request {
    let state = match &session.opened {
        Some(opened) => opened.volume.state_path.clone(),
        None => context.hook.state.clone().unwrap_or_else(|| to.join(STATE_DIRECTORY)),
    };
    let log = session.opened.as_ref().map(|opened| opened.volume.log_path.clone());
    let attempt = session.opened.as_ref().map_or(1, |opened| opened.started.attempt);
    let steps = &context.hook.steps;
    let here = |step: &Step| matches!(step, Step::Copy { options: of, .. } if std::ptr::eq(&raw const **of, options));
    let (before, after) = match steps.iter().position(here) {
        Some(at) => (&steps[..at], &steps[at + 1..]),
        // A copy of `on-failure` or `finally`.
        None => (&steps[..], &[][..]),
    };
    copy::Request {
        later: Some(after.iter().filter_map(copied).map(|(_, owner)| owner).collect()),
        earlier: before.iter().filter_map(copied).collect(),
        source: from.to_path_buf(),
        destination: to.to_path_buf(),
        run: format!("{}.{attempt}.{}", context.group, std::process::id()),
        group: context.group.clone(),
        steps_follow: true,
        protect: log.into_iter().chain([state.clone()]).collect(),
        earlier_state: Some(state),
        options: options.clone(),
        ..copy::Request::default()
    }
}

/// All copies of the hook, also those of `on-failure` and `finally`: a command may change what an earlier run's copies
/// installed.
pub(super) fn all_requests(context: &Context<'_>, session: &Session) -> Vec<copy::Request> {
    let hook = context.hook;
    requests(context, session, hook.steps.iter().chain(&hook.on_failure).chain(&hook.finally))
}

pub(super) fn requests<'s>(
    context: &Context<'_>,
    session: &Session,
    steps: impl IntoIterator<Item = &'s Step>,
) -> Vec<copy::Request> {
    let request = |step: &Step| match step {
        Step::Copy { from, to, options, .. } => Some(copy_request(context, session, (from, to), options)),
        _ => None,
    };
    steps.into_iter().filter_map(request).collect()
}

/// A copy's destination and owner; `None` for other steps.
fn copied(step: &Step) -> Option<(PathBuf, Vec<u8>)> {
    let Step::Copy { from, to, options, .. } = step else { return None };
    let options = (**options).clone();
    let owner = copy::owner_of(&copy::Request { source: from.clone(), options, ..copy::Request::default() });
    Some((to.clone(), owner))
}
