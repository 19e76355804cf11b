//! Staging: `stage/<run>/` in the state directory, on the destination's filesystem. Below it, one numbered directory
//! for each directory of the destination that something goes into; what is in one is complete and only has to be
//! renamed. Whatever an earlier copy left behind there is swept.
//!
//! It is not used again, however large. Of a file that was in staging when a copy was killed nothing says that it
//! reached the storage: its pages may be right in memory, or the write of them may have failed and been reported to the
//! copy that is dead. It would have to be synced, dropped from memory, read back and compared with the image's, which
//! is read in any case: that costs a volume about what writing it anew does. What has its final name is not copied again.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::listing;
use super::node::Node;
use crate::support::rooted_dir::Dir;

/// The staging of one copy.
#[derive(Debug)]
pub(super) struct Stage {
    /// `stage/` of a state directory.
    home: Dir,
    name: String,
    pub(super) dir: Dir,
    next: AtomicU64,
    /// What a new file here looks like: whose it is.
    pub(super) sample: Stat,
}

/// The name of the state directory that staging falls back to, inside the destination.
pub(super) const STATE: &str = ".hook-runner";

impl Stage {
    /// Makes the staging directory in `state`, or, where renaming from there into `destination` does not work, in a
    /// state directory inside the destination.
    pub(super) fn open(state: &Dir, destination: &Dir, name: &str) -> io::Result<Self> {
        let stage = Self::make(state, name)?;
        if same_mount(state, destination)? {
            return Ok(stage);
        }
        match stage.reaches(destination) {
            Ok(()) => Ok(stage),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) => {
                stage.remove()?;
                Self::make(&destination.create_dir_all(STATE, 0o750)?, name)
            }
            Err(error) => Err(error),
        }
    }

    fn make(state: &Dir, name: &str) -> io::Result<Self> {
        let home = state.create_dir_all("stage", 0o700)?;
        home.remove_all(name)?;
        home.create_dir(name, 0o700)?;
        let dir = home.open_dir(name)?;
        // A default ACL would reach into everything made below; failing to drop it means there is none, or that
        // the modes are set explicitly anyway.
        let _ = rustix::fs::fremovexattr(&dir, c"system.posix_acl_default");
        dir.create_new("sample", 0o600)?;
        let sample = dir.stat_at("sample")?;
        dir.unlink("sample")?;
        Ok(Self { home, name: name.to_owned(), dir, next: AtomicU64::new(0), sample })
    }

    /// Whether a rename from here into the destination works: two mounts of one filesystem answer `EXDEV`, as do
    /// project quotas, so it is tried.
    fn reaches(&self, destination: &Dir) -> io::Result<()> {
        let probe = format!("{STATE}-probe-{}", self.name);
        self.dir.create_new(&probe, 0o600)?;
        match self.dir.rename(&probe, destination, &probe) {
            Ok(()) => gone(destination.unlink(&probe)),
            Err(error) => {
                self.dir.unlink(&probe)?;
                Err(error)
            }
        }
    }

    /// A new directory for what goes into one directory of the destination.
    pub(super) fn add(&self) -> io::Result<(u64, Arc<OwnedFd>)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = number.to_string();
        rustix::fs::mkdirat(&self.dir, &*name, Mode::from_raw_mode(0o700))?;
        Ok((number, Arc::new(listing::open(&self.dir, &*name)?)))
    }

    /// Removes the directory that was for what goes into `node`, if nothing is left in it.
    pub(super) fn discard(&self, node: &Node) {
        if let Some((number, _)) = node.stage.get() {
            // What stays goes with all of staging.
            let _ = rustix::fs::unlinkat(&self.dir, number.to_string(), AtFlags::REMOVEDIR);
        }
    }

    /// A file without a name, for what does not fit into memory.
    pub(super) fn overflow(&self) -> io::Result<std::fs::File> {
        let name = "overflow";
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = self.dir.open_with(name, flags, 0o600)?;
        self.dir.unlink(name)?;
        Ok(file)
    }

    /// Removes it with whatever is in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.home.remove_all(&self.name)
    }
}

/// Removes the staging of earlier copies in a state directory, and probes in the destination. `mine` says of a name
/// whether it is one of them. Answers how many there were.
pub(super) fn sweep(state: &Dir, destination: &Dir, mine: &dyn Fn(&[u8]) -> bool) -> io::Result<u64> {
    let mut swept = 0;
    for root in [Some(state.reopen()?), destination.open_dir(STATE).ok()].into_iter().flatten() {
        let home = match root.open_dir("stage") {
            Ok(home) => home,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for (name, _) in home.entries()? {
            if mine(name.as_bytes()) {
                home.remove_all(&name)?;
                swept += 1;
            }
        }
    }
    Ok(swept)
}

/// Removes probes that a killed copy left in the destination: their names are ours.
pub(super) fn sweep_probes(destination: &Dir) -> io::Result<()> {
    let prefix = format!("{STATE}-probe-");
    for (name, kind) in destination.entries()? {
        if kind == FileType::RegularFile && name.as_bytes().starts_with(prefix.as_bytes()) {
            gone(destination.unlink(&name))?;
        }
    }
    Ok(())
}

/// Another shard that starts now sweeps probes too: one that is not there any more is as good as removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Whether the state directory is an ordinary directory right inside the destination, on the same mount: then a
/// rename works and need not be tried.
fn same_mount(state: &Dir, destination: &Dir) -> io::Result<bool> {
    use rustix::fs::{AtFlags, StatxFlags};
    let parent = rustix::fs::openat(state, c"..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let (a, b) = (rustix::fs::fstat(&parent)?, destination.stat()?);
    if (a.st_dev, a.st_ino) != (b.st_dev, b.st_ino) {
        return Ok(false);
    }
    let mount = |dir: &Dir| {
        rustix::fs::statx(dir, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
            .ok()
            .filter(|s| s.stx_mask & StatxFlags::MNT_ID.bits() != 0)
            .map(|s| s.stx_mnt_id)
    };
    Ok(mount(state).is_some() && mount(state) == mount(destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state directory is beside the destination, so each shard tries with a probe whether it can rename into it.
    #[test]
    fn shards_that_start_together_do_not_trip_over_each_others_probes() {
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str| Dir::open(directory.path()).unwrap().create_dir_all(name, 0o755).unwrap();
        let starts = |shard: u32| {
            let (state, destination) = (open("state"), open("destination"));
            for start in 0..300 {
                sweep_probes(&destination).expect("probes are swept");
                let stage = Stage::make(&state, &format!("{start}.shard-{shard}")).unwrap();
                stage.reaches(&destination).expect("the destination is reached");
                stage.remove().unwrap();
            }
        };
        std::thread::scope(|scope| {
            for shard in 0..4 {
                scope.spawn(move || starts(shard));
            }
        });
    }
}
