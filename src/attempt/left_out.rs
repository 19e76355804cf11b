//! Steps that are not for this run, as their `when` says.

use super::context::{self, Context};
use super::outcome::{Failure, Outcome, StepReport};
use super::session::Session;
use crate::exit::Kind;
use crate::hook::steps::Step;
use crate::hook::when::When;

/// Why `step` is left out of this run; none where it is not.
pub(super) fn why(step: &Step, context: &Context<'_>, session: &Session) -> Option<String> {
    let first_run = session.opened.as_ref().map(|opened| opened.first_run);
    step.when()?.unmet(&context::identity(context.hook), first_run)
}

/// Tells that a step is left out. It has its number among the steps like any other.
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

/// The steps that this run may have, then those that may come after them: on a failure, at every end. As far as that is known
/// before the log is open; a step of which it cannot be known is refused.
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
