//! One attempt of a hook, from top to bottom: load the secrets, open the volume, run the steps in order, settle the
//! volume, finish the log. Every failure goes into the outcome.

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

/// Runs the steps; on failure, the steps for that; the final steps in any case. Then settles the volume.
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
        if outcome.failure.is_some() && !steps.is_empty() && no_more(context, supervisor) {
            let why = if supervisor.stop_requested() {
                "the attempt is stopped"
            } else {
                "the attempt's time is over"
            };
            session.tell(&format!("no {title} was begun: {why}"));
        } else {
            all((title, steps), context, session, supervisor, outcome).await;
        }
    }
    if outcome.failure.is_some() {
        settle::record_failure(context, session, supervisor).await;
    } else if let Err(failure) = settle::settle(context, session, supervisor).await {
        outcome.fail(failure);
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
    for (at, step) in steps.iter().enumerate() {
        let title = format!("{title} {} of {}", at + 1, steps.len());
        if let Some(why) = left_out::why(step, context, session) {
            left_out::tell((&title, step), &why, context, session, outcome);
            continue;
        }
        if let Err(failure) = steps::run((&title, step), context, session, supervisor, outcome).await {
            outcome.fail(failure);
            return;
        }
    }
}

/// Whether a new step would be interrupted at once.
fn no_more(context: &Context<'_>, supervisor: &Supervisor) -> bool {
    supervisor.stop_requested() || context.limits.is_over()
}
