//! Leaves out steps whose `when` excludes this run.

use super::context::{self, Context};
use super::outcome::{Failure, Outcome, StepReport};
use super::session::Session;
use crate::exit::Kind;
use crate::hook::steps::Step;
use crate::hook::when::When;

/// Why `step` is left out; `None` if it is not.
pub(super) fn why(step: &Step, context: &Context<'_>, session: &Session) -> Option<String> {
    let first_run = session.opened.as_ref().map(|opened| opened.first_run);
    step.when()?.unmet(&context::identity(context.hook), first_run)
}

/// Reports a step that is left out. It keeps its number.
pub(super) fn tell(
    (title, step): (&str, &Step),
    why: &str,
    context: &Context<'_>,
    session: &Session,
    outcome: &mut Outcome,
) {
    session.tell(&format!("{title} is left out: {why}"));
    let step = context.secrets.clean(&step.to_string());
    outcome.steps.push(StepReport { step, result: format!("left out: {why}"), duration_ms: 0 });
    let at = outcome.borders.last().map_or(0, |border| border.end);
    outcome.borders.push(at..at);
}

/// The steps that this run may execute, and those that may follow (on failure, at every end), as far as `when` can be
/// evaluated before the log is open. A step whose `when` can never be evaluated is refused.
pub(super) fn possible(context: &Context<'_>) -> Result<(Vec<Step>, Vec<Step>), Failure> {
    let hook = context.hook;
    let identity = context::identity(hook);
    let after = || hook.on_failure.iter().chain(&hook.finally);
    let lacks = |when: &When| when.lacks(&identity, hook.log.is_some());
    if let Some(lacks) = hook.steps.iter().chain(after()).filter_map(Step::when).find_map(lacks) {
        return Err(Failure::new(Kind::Config, lacks));
    }
    let is_possible = |step: &&Step| step.when().is_none_or(|when| when.unmet(&identity, None).is_none());
    let steps = hook.steps.iter().filter(is_possible).cloned().collect();
    Ok((steps, after().filter(is_possible).cloned().collect()))
}
