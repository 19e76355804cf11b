//! What surrounds a command: before it, the journal says that it may change what was installed; after it, what copies
//! recorded is written again if the command has removed it.

use super::context::Context;
use super::in_time::at_the_end;
use super::messages;
use super::outcome::Failure;
use super::requests::{all_requests, requests};
use super::session::Session;
use crate::copy;
use crate::process::Supervisor;
use crate::steps::copy::{CopyFailure, begin_in_turn};
use crate::support::blocking;

/// Journals in each destination that a command may now change what was installed there. `done` steps of the hook have
/// ended in this attempt.
pub(super) async fn begin_run(
    context: &Context<'_>,
    session: &Session,
    supervisor: &mut Supervisor,
    done: usize,
) -> Result<Vec<copy::Run>, Failure> {
    let steps = &context.hook.steps;
    let had = requests(context, session, &steps[..done.min(steps.len())]);
    let wanted = all_requests(context, session);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (patience, cancel) = (context.hook.lock_timeout, supervisor.stop_token().child_token());
    let stop = cancel.clone();
    let begin = move |request: &copy::Request| begin_in_turn(request, &had, patience, &stop);
    let work = blocking::run(move || wanted.iter().map(begin).collect::<Result<Vec<_>, CopyFailure>>());
    let runs = context.limits.cancellable(supervisor, work, &cancel).await?.map_err(messages::fault)?;
    runs.map(|runs| runs.into_iter().flatten().collect()).map_err(|failure| match failure {
        CopyFailure::Turn(error) => messages::turn(&error),
        CopyFailure::Copy(error) => messages::copy(&error),
    })
}

/// Records again what copies installed, where the command has removed the record. Returns what to say about it.
pub(super) async fn put_back(
    runs: Vec<copy::Run>,
    context: &Context<'_>,
    supervisor: &mut Supervisor,
) -> Vec<String> {
    if runs.is_empty() {
        return Vec::new();
    }
    let work = blocking::run(move || {
        let said = runs.iter().map(copy::Run::put_back);
        said.flat_map(|done| done.unwrap_or_else(|error| vec![messages::copy(&error).message])).collect()
    });
    let patience = context.limits.patience(supervisor);
    match at_the_end(patience, supervisor, "looking for the record of what copies installed", work).await {
        Ok(Ok(said)) => said,
        Ok(Err(error)) => vec![messages::fault(error).message],
        Err(failure) => vec![failure.message],
    }
}
