//! Remembers which start of another container was preserved last, so that a restarted sidecar does not preserve it
//! twice.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::error::VolumeError;
use super::paths::Volume;
use crate::support::rooted_dir::Dir;

/// The file with the id of that start.
const NAME: &str = "followed";
/// An id is `containerd://` and 64 hexadecimal digits; other runtimes' are not much longer.
const LONGEST_ID: u64 = 1024;

#[derive(Debug)]
pub struct Followed {
    state: Dir,
    path: PathBuf,
}

impl Followed {
    /// The file of `volume`; it need not exist yet.
    pub fn of(volume: &Volume) -> Result<Self, VolumeError> {
        let path = volume.state_path.join(NAME);
        let state = volume.state.reopen().map_err(VolumeError::at("open", &volume.state_path))?;
        Ok(Self { state, path })
    }

    /// The remembered id.
    pub fn last(&self) -> Option<String> {
        let file = self.state.open_regular(NAME, OFlags::RDONLY, 0).ok()?;
        let mut text = String::new();
        file.take(LONGEST_ID).read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// Remembers `id`. A torn write leaves an id that no container has: that start is then preserved twice, which is
    /// better than never.
    pub fn remember(&self, id: &str) -> Result<(), VolumeError> {
        let mut file =
            self.state.open_own(NAME, OFlags::WRONLY).map_err(VolumeError::at("open", &self.path))?;
        let written = file.set_len(0).and_then(|()| writeln!(file, "{id}"));
        written.and_then(|()| file.sync_data()).map_err(VolumeError::at("write to", &self.path))
    }
}
