//! The volume's locks: flock(2) on files in the state directory. `lock` is held for an attempt; `copy.lock` only
//! while content is copied, so that a pod that starts while a hook waits for it can still fill its volume. The
//! kernel releases them with the process, however that ends; the files stay, with the last holder in them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::VolumeError;
use crate::support::rooted_dir::Dir;

/// Which lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Held for an attempt.
    Attempt,
    /// Held while content is copied.
    Copy,
}

impl Name {
    const fn file(self) -> &'static str {
        match self {
            Self::Attempt => "lock",
            Self::Copy => "copy.lock",
        }
    }
}

/// Who holds the lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// The run's id.
    pub run: String,
    /// The pod, where there is one.
    pub pod: String,
    /// Process id in the holder's own namespace.
    pub pid: u32,
    /// RFC 3339.
    pub since: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unknown = |text: &str| if text.is_empty() { "unknown".into() } else { text.to_owned() };
        write!(f, "run {}", unknown(&self.run))?;
        if !self.pod.is_empty() {
            write!(f, " in pod {}", self.pod)?;
        }
        write!(f, " (process {}) since {}", self.pid, unknown(&self.since))
    }
}

/// The lock while it is held; dropping it releases it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What trying to take the lock gave.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Held(Lock),
    /// Somebody else holds it.
    Busy(Holder),
    /// The volume has no locks (`ENOLCK`, `EOPNOTSUPP`, `ENOSYS`): some network filesystems.
    Unsupported(io::Error),
}

/// Tries once; does not block. `shared` is for the shards of one copy, which exclude all others but each other.
pub fn try_take(
    state: &Dir,
    state_path: &Path,
    name: Name,
    shared: bool,
    holder: &Holder,
) -> Result<Taken, VolumeError> {
    let path = state_path.join(name.file());
    let (mut file, stat) = state
        .open_regular_stat(name.file(), OFlags::RDWR | OFlags::CREATE, 0o640)
        .map_err(VolumeError::at("open", &path))?;
    let operation =
        if shared { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    match rustix::fs::flock(&file, operation) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Taken::Busy(read(&mut file))),
        Err(errno @ (Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS)) => {
            return Ok(Taken::Unsupported(errno.into()));
        }
        Err(errno) => return Err(VolumeError::at("lock", &path)(errno.into())),
    }
    let text = serde_json::to_vec(holder).unwrap_or_default();
    // Over the last holder's name, so that the volume need not give the block back and find another.
    let length = text.len() as u64;
    let is_longer = u64::try_from(stat.st_size).is_ok_and(|last| last > length);
    let cut = |()| if is_longer { file.set_len(length) } else { Ok(()) };
    let write = (&file).write_all(&text).and_then(cut);
    write.map_err(VolumeError::at("write to", &path))?;
    Ok(Taken::Held(Lock { _file: file }))
}

/// The holder, if the lock is held now. For readers: takes it for no longer than the question.
pub fn holder(state: &Dir) -> Option<Holder> {
    let mut file = state.open_regular(Name::Attempt.file(), OFlags::RDONLY, 0).ok()?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Some(read(&mut file)),
        _ => None,
    }
}

fn read(file: &mut File) -> Holder {
    let mut text = Vec::new();
    // A holder that is just writing its name is one whose name is not known.
    let _ = file.take(4096).read_to_end(&mut text);
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = Dir::open(directory.path()).unwrap();
        let holder = Holder { run: "one".into(), pod: "p".into(), pid: 7, since: "now".into() };
        let Ok(Taken::Held(lock)) = try_take(&state, directory.path(), Name::Attempt, false, &holder) else {
            panic!("not taken")
        };
        match try_take(&state, directory.path(), Name::Attempt, false, &Holder::default()) {
            Ok(Taken::Busy(found)) => assert_eq!(found, holder),
            other => panic!("{other:?}"),
        }
        assert_eq!(super::holder(&state), Some(holder));
        drop(lock);
        assert_eq!(super::holder(&state), None);
    }
}
