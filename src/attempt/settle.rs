//! Settles what the steps left: records how they left each destination, then makes every volume durable that a step may
//! have written to.

use std::time::Duration;

use super::context::Context;
use super::in_time::at_the_end;
use super::messages;
use super::outcome::Failure;
use super::requests::all_requests;
use super::session::Session;
use crate::copy;
use crate::process::Supervisor;
use crate::steps::copy::{CopyFailure, seal_in_turn};
use crate::support::blocking;

/// Records each destination and syncs all volumes, within the time limit for the end of the attempt.
pub(super) async fn settle(
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let copies = all_requests(context, session);
    let mut volumes = std::mem::take(&mut session.volumes);
    let (patience, stop) = (context.hook.lock_timeout, supervisor.stop_token());
    let work = blocking::run(move || -> Result<(), Failure> {
        copies.iter().try_for_each(|request| {
            seal_in_turn(request, copy::Ended::Well, patience, &stop).map_err(|error| match error {
                CopyFailure::Turn(error) => messages::turn(&error),
                CopyFailure::Copy(error) => messages::copy(&error),
            })
        })?;
        volumes.sync().map_err(|error| messages::sync(&error))?;
        volumes.missing().map_or(Ok(()), |path| Err(messages::nothing_to_sync(path)))?;
        volumes.in_place().map_err(|error| messages::copy(&error))
    });
    let patience = context.limits.patience(supervisor);
    let settled = at_the_end(patience, supervisor, "syncing the volume", work).await?;
    settled.map_err(messages::fault)?
}

/// Records how a failed attempt leaves each destination, so that later changes count as the user's. If this is
/// impossible, all later differences count as the attempt's.
pub(super) async fn record_failure(context: &Context<'_>, session: &Session, supervisor: &mut Supervisor) {
    let copies = all_requests(context, session);
    if copies.is_empty() {
        return;
    }
    let stop = supervisor.stop_token();
    let work = blocking::run(move || {
        for request in &copies {
            if let Err(error) = seal_in_turn(request, copy::Ended::Failed, Duration::ZERO, &stop) {
                tracing::warn!(?error, "cannot record what the failed attempt left");
            }
        }
    });
    let patience = context.limits.patience(supervisor);
    if at_the_end(patience, supervisor, "recording what the attempt left", work).await.is_err() {
        tracing::warn!("what the failed attempt left was not recorded in time");
    }
}
