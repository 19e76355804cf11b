//! One attempt of a hook, from top to bottom: load the secrets, open the volume, run the steps in order, settle the
//! volume, finish the log. Every failure goes into the outcome.

mod at_work;
mod changes;
mod close;
mod command_end;
mod context;
pub mod event;
mod finish;
mod header;
mod in_time;
mod left_out;
mod limits;
pub mod messages;
pub mod metrics;
pub mod open;
pub mod outcome;
pub mod report_paths;
mod requests;
mod secrets;
mod session;
mod settle;
mod steps;
pub mod termination;
mod volumes;
pub mod working_directory;

use self::context::Context;
use self::outcome::{Failure, Outcome};
use self::session::Session;
use crate::exit::Kind;
use crate::hook::preflight::{self, PreflightError};
use crate::hook::spec::Hook;
use crate::hook::steps::Step;
use crate::output::{self, Level};
use crate::process::Supervisor;
use crate::steps::wait;
use crate::support::blocking;

pub async fn run(hook: &Hook, supervisor: &mut Supervisor) -> Outcome {
    let mut outcome = Outcome::new(context::identity(hook));
    let context = match Context::new(hook) {
        Ok(context) => context,
        Err(failure) => return outcome.failed(failure),
    };
    for warning in &context.secrets.warnings {
        output::say(Level::Warning, warning);
        outcome.warnings.push(warning.clone());
    }
    if let Err(failure) = preflight(&context, supervisor).await {
        return context.secrets.clean_outcome(outcome.failed(failure));
    }
    let mut session = match session::open(&context, supervisor, &mut outcome).await {
        Ok(session) => session,
        Err(failure) => {
            outcome.duration_ms = context.limits.elapsed_ms();
            return context.secrets.clean_outcome(outcome.failed(failure));
        }
    };
    if outcome.failure.is_none() {
        work(&context, &mut session, supervisor, &mut outcome).await;
    }
    outcome.duration_ms = context.limits.elapsed_ms();
    outcome = context.secrets.clean_outcome(outcome);
    finish::finish(&context, session, supervisor, &mut outcome).await;
    outcome.duration_ms = context.limits.elapsed_ms();
    context.secrets.clean_outcome(outcome)
}

/// Refuses a hook that cannot work, before anything on a volume is created or changed.
async fn preflight(context: &Context<'_>, supervisor: &mut Supervisor) -> Result<(), Failure> {
    working_directory::check(working_directory::paths_of(context.hook))?;
    let hook = context.hook.clone();
    let check = blocking::run(move || report_paths::check(&hook));
    context.limits.droppable(supervisor, check).await?.map_err(messages::fault)??;
    let (steps, after) = left_out::possible(context)?;
    let check = blocking::run(move || {
        let wrong_copy = |error: PreflightError| Failure::new(Kind::Config, error.to_string());
        preflight::owners(&steps).map_err(wrong_copy)?;
        let all = [steps, after].concat();
        preflight::check(&all).map_err(wrong_copy)?;
        wait::check(&all).map_err(|error| messages::wrong_wait(&error))
    });
    context.limits.droppable(supervisor, check).await?.map_err(messages::fault)?
}

/// Runs the steps; on failure, each of the steps for that; the final steps in any case. Then settles the volume.
async fn work(
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) {
    let hook = context.hook;
    all(("step", &hook.steps), context, session, supervisor, outcome).await;
    let also = [("step on failure", &hook.on_failure), ("final step", &hook.finally)];
    for (title, steps) in also.into_iter().skip(usize::from(outcome.failure.is_none())) {
        each((title, steps), context, session, supervisor, outcome).await;
    }
    if outcome.failure.is_some() {
        settle::record_failure(context, session, supervisor).await;
    } else if let Err(failure) = settle::settle(context, session, supervisor).await {
        outcome.fail(failure);
    }
}

/// Runs each of `steps`, whatever became of the one before it, unless the attempt is stopped or out of time.
async fn each(
    (title, steps): (&str, &[Step]),
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) {
    for at in 0..steps.len() {
        if outcome.failure.is_some()
            && let Some(why) = no_more(context, supervisor)
        {
            let which = match at {
                0 => format!("no {title}"),
                _ => format!("no {title} after number {at} of {}", steps.len()),
            };
            session.tell(&format!("{which} was begun: {why}"));
            return;
        }
        one((title, steps, at), context, session, supervisor, outcome).await;
    }
}

/// Runs `steps` up to the first failure.
async fn all(
    (title, steps): (&str, &[Step]),
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) {
    let mut at = 0;
    while at < steps.len() && one((title, steps, at), context, session, supervisor, outcome).await {
        at += 1;
    }
}

/// Runs the step at a position of a list, or says why it is left out. Returns whether the next one may follow.
async fn one(
    (title, steps, at): (&str, &[Step], usize),
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
    outcome: &mut Outcome,
) -> bool {
    let (title, step) = (format!("{title} {} of {}", at + 1, steps.len()), &steps[at]);
    if let Some(why) = left_out::why(step, context, session) {
        left_out::tell((&title, step), &why, context, session, outcome);
        return true;
    }
    let ran = steps::run((&title, step), context, session, supervisor, outcome).await;
    ran.map_err(|failure| outcome.fail(failure)).is_ok()
}

/// Why a new step would be interrupted at once; `None` if it would not.
fn no_more(context: &Context<'_>, supervisor: &Supervisor) -> Option<&'static str> {
    if supervisor.stop_requested() {
        return Some("the attempt is stopped");
    }
    context.limits.is_over().then_some("the attempt's time is over")
}
