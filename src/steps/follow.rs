//! The follow step: another container's log into the tee, that container's end as the step's.
//!
//! Joins `sidecar`, which knows the API, with the tee's pipe and the state directory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustix::fs::OFlags;
use tokio::net::unix::pipe;

use crate::attempt::messages;
use crate::attempt::open::Opened;
use crate::attempt::outcome::Failure;
use crate::kubernetes::{self, Follow};
use crate::output::Attached;
use crate::support::blocking;
use crate::volume::{Volume, VolumeError};

/// Holds the id of the start of the container that was preserved last.
const FOLLOWED: &str = "followed";
/// An id is `containerd://` and 64 hexadecimal digits; no runtime's is much longer.
const LONGEST_ID: u64 = 1024;

/// Follows until the container has ended and everything of its log is written.
pub(crate) async fn run(follow: &Follow, pipe: Attached, opened: Arc<Opened>) -> Result<String, Failure> {
    let Attached { stdout, stderr, drained, .. } = pipe;
    drop(stderr);
    let mut sink = pipe::Sender::from_owned_fd(stdout).map_err(messages::fault)?;
    let volume = Arc::clone(&opened);
    let preserved = blocking::once(move || preserved(&volume.volume)).await.map_err(messages::fault)?;
    let ended =
        kubernetes::follow(&follow.access, &follow.container, preserved.as_deref(), &follow.pace, &mut sink)
            .await;
    drop(sink);
    // Closed without an answer is a tee that has ended, which its report says.
    let _ = drained.await;
    let ended = ended.map_err(|error| messages::follow(&error))?;
    let id = ended.how.container_id.clone();
    blocking::once(move || remember(&opened.volume, &id))
        .await
        .map_err(messages::fault)?
        .map_err(|error| messages::store(&error))?;
    messages::followed(&follow.container, &ended)
}

fn preserved(volume: &Volume) -> Option<String> {
    let file = volume.state.open_regular(FOLLOWED, OFlags::RDONLY, 0).ok()?;
    let mut text = String::new();
    file.take(LONGEST_ID).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// A torn id is one that no container has: then the start is preserved twice, which is better than never.
fn remember(volume: &Volume, id: &str) -> Result<(), VolumeError> {
    let path = volume.state_path.join(FOLLOWED);
    let mut file = volume
        .state
        .open_regular(FOLLOWED, OFlags::WRONLY | OFlags::CREATE, 0o640)
        .map_err(VolumeError::at("open", &path))?;
    let written = file.set_len(0).and_then(|()| writeln!(file, "{id}"));
    written.and_then(|()| file.sync_data()).map_err(VolumeError::at("write to", &path))
}
