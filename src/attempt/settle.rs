//! What the steps left on the volumes: recorded as the run left it, then made durable, each volume that a step may have
//! written to.

use super::context::Context;
use super::in_time::at_the_end;
use super::messages;
use super::outcome::Failure;
use super::session::Session;
use super::steps::copy_request;
use crate::copy;
use crate::hook::steps::Step;
use crate::process::Supervisor;
use crate::steps::copy::{CopyFailure, seal_in_turn};
use crate::support::blocking;

/// Records each destination and syncs all volumes, within the time that the end of the attempt has.
pub(super) async fn settle(
    context: &Context<'_>,
    session: &mut Session,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let copies: Vec<copy::Request> = context
        .hook
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Copy { from, to, options, .. } => Some(copy_request(context, session, (from, to), options)),
            _ => None,
        })
        .collect();
    let mut volumes = std::mem::take(&mut session.volumes);
    let (patience, stop) = (context.hook.lock_timeout, supervisor.stop_token());
    let work = blocking::run(move || -> Result<(), Failure> {
        copies.iter().try_for_each(|request| {
            seal_in_turn(request, patience, &stop).map_err(|error| match error {
                CopyFailure::Turn(error) => messages::turn(&error),
                CopyFailure::Copy(error) => messages::copy(&error),
            })
        })?;
        volumes.sync().map_err(|error| messages::sync(&error))
    });
    let patience = context.limits.patience(supervisor);
    let settled = at_the_end(patience, supervisor, "syncing the volume", work).await?;
    settled.map_err(messages::fault)?
}
