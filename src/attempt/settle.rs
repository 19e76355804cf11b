//! What the steps left on the volume, made durable and recorded as the run left it.

use super::context::Context;
use super::messages;
use super::outcome::Failure;
use super::session::Session;
use super::steps::copy_request;
use crate::copy;
use crate::hook::steps::Step;
use crate::process::Supervisor;
use crate::steps::copy::take_turn;
use crate::support::blocking;

/// Syncs and records each destination. Without a copy there is nothing but the log's volume, which is synced with it.
pub(super) async fn settle(
    context: &Context<'_>,
    session: &Session,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let copies: Vec<copy::Request> = context
        .hook
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Copy { from, to, options } => Some(copy_request(context, session, (from, to), options)),
            _ => None,
        })
        .collect();
    if copies.is_empty() {
        return Ok(());
    }
    let (patience, stop) = (context.hook.lock_timeout, supervisor.stop_token());
    let work = blocking::run(move || -> Result<(), Failure> {
        copies.iter().try_for_each(|request| {
            let _turn = take_turn(request, patience, &stop).map_err(|error| messages::turn(&error))?;
            copy::seal(request).map_err(|error| messages::copy(&error))
        })
    });
    let patience = context.limits.patience(supervisor);
    match tokio::time::timeout(patience, supervisor.attend(work)).await {
        Ok(Ok(Ok(done))) => done,
        Ok(Ok(Err(error))) => Err(messages::fault(error)),
        Ok(Err(_)) => Err(messages::stopped("while the volume was synced")),
        Err(_) => Err(messages::hung("syncing the volume")),
    }
}
