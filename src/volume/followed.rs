//! Which start of another container was preserved last: a restarted sidecar must not preserve it twice.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::error::VolumeError;
use super::paths::Volume;
use crate::support::rooted_dir::Dir;

/// Holds the id of the start of the container that was preserved last.
const NAME: &str = "followed";
/// An id is `containerd://` and 64 hexadecimal digits; no runtime's is much longer.
const LONGEST_ID: u64 = 1024;

/// The file in the state directory.
#[derive(Debug)]
pub struct Followed {
    state: Dir,
    path: PathBuf,
}

impl Followed {
    /// That of `volume`; it may not be there yet.
    pub fn of(volume: &Volume) -> Result<Self, VolumeError> {
        let path = volume.state_path.join(NAME);
        let state = volume.state.reopen().map_err(VolumeError::at("open", &volume.state_path))?;
        Ok(Self { state, path })
    }

    /// The id that was remembered last.
    pub fn last(&self) -> Option<String> {
        let file = self.state.open_regular(NAME, OFlags::RDONLY, 0).ok()?;
        let mut text = String::new();
        file.take(LONGEST_ID).read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// Remembers `id`. A torn one is an id that no container has: then the start is preserved twice, which is better than
    /// never.
    pub fn remember(&self, id: &str) -> Result<(), VolumeError> {
        let mut file =
            self.state.open_own(NAME, OFlags::WRONLY).map_err(VolumeError::at("open", &self.path))?;
        let written = file.set_len(0).and_then(|()| writeln!(file, "{id}"));
        written.and_then(|()| file.sync_data()).map_err(VolumeError::at("write to", &self.path))
    }
}
