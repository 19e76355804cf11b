//! The follow step: copies another container's log into the tee and ends as that container did. Joins `kubernetes`,
//! which knows the API, with the tee's pipe and the record on the volume.

use std::io;
use std::sync::Arc;

use tokio::net::unix::pipe;

use crate::kubernetes::{self, Ended, Follow};
use crate::output::Attached;
use crate::support::blocking;
use crate::support::observed::Observed;
use crate::volume::VolumeError;
use crate::volume::followed::Followed;

/// Why the other container's log was not preserved.
#[derive(Debug)]
pub enum FollowError {
    /// The container cannot be followed.
    Follow(kubernetes::Failure),
    /// The record of what was preserved cannot be read or written.
    Volume(VolumeError),
    /// A pipe or a thread failed.
    System(io::Error),
}

/// Follows until the container has ended and its whole log is written.
pub async fn run(
    follow: &Follow,
    pipe: Attached,
    followed: Followed,
    observed: &Observed,
) -> Result<Ended, FollowError> {
    let Attached { stdout, stderr, drained, .. } = pipe;
    drop(stderr);
    let mut sink = pipe::Sender::from_owned_fd(stdout).map_err(FollowError::System)?;
    let followed = Arc::new(followed);
    let earlier = Arc::clone(&followed);
    let last = blocking::run(move || earlier.last()).await.map_err(FollowError::System)?;
    let ended = kubernetes::follow(follow, last.as_deref(), observed, &mut sink).await;
    drop(sink);
    // If the tee has ended, its report says so.
    let _ = drained.await;
    let ended = ended.map_err(FollowError::Follow)?;
    let id = ended.how.container_id.clone();
    let remembered = blocking::run(move || followed.remember(&id)).await.map_err(FollowError::System)?;
    remembered.map_err(FollowError::Volume)?;
    Ok(ended)
}
