//! The volume's locks: flock(2) on files in the state directory. `lock` is held during an attempt; `copy.lock` only
//! during a copy, so that a pod that starts while a hook waits for it can still fill its volume. The kernel releases
//! them when the process ends, in whatever way; the files stay and name the last holder.
//!
//! With `lock`, an attempt also holds a lock on `running` of a kind that can be queried without being taken (fcntl(2),
//! `F_OFD_GETLK`), so that readers never block a run or each other. It takes two files, because NFS maps both kinds to
//! one. They are opened for reading and writing, because NFS otherwise answers EBADF to an exclusive lock.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::VolumeError;
use crate::support::own::RUNNING;
use crate::support::rooted_dir::Dir;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Held during an attempt.
    Attempt,
    /// Held during a copy.
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

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// The run's id.
    pub run: String,
    /// The pod, if there is one.
    pub pod: String,
    /// Process id in the holder's own PID namespace.
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
        write!(f, " (process {})", self.pid)?;
        if self.since.is_empty() { Ok(()) } else { write!(f, " since {}", self.since) }
    }
}

/// A held lock. Dropping it releases the lock.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    _running: Option<File>,
}

/// The result of trying to take a lock.
#[derive(Debug)]
pub enum Taken {
    /// We hold it.
    Held(Lock),
    /// Somebody else holds it.
    Busy(Holder),
    /// The volume does not support locks (`ENOLCK`, `EOPNOTSUPP`, …), as some network filesystems.
    Unsupported(io::Error),
}

/// Tries once without blocking. `shared` is for shards of one copy, which exclude others but not each other.
pub fn try_take(
    state: &Dir,
    state_path: &Path,
    name: Name,
    shared: bool,
    holder: &Holder,
) -> Result<Taken, VolumeError> {
    let path = state_path.join(name.file());
    let mut file = state.open_for_group(name.file(), OFlags::RDWR).map_err(VolumeError::at("open", &path))?;
    match flock(&file, shared) {
        Answer::Taken => {}
        Answer::Held => return Ok(Taken::Busy(read(&mut file))),
        Answer::Unknown(error) => return Ok(Taken::Unsupported(error)),
    }
    let running = match name {
        Name::Attempt => match take_running(state, shared) {
            // Somebody removed `lock` while its holder was at work.
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(Taken::Busy(Holder::default())),
            // Without such locks on the volume, readers cannot tell either.
            taken => taken.ok(),
        },
        Name::Copy => None,
    };
    let text = serde_json::to_vec(holder).unwrap_or_default();
    let written = file.write_all(&text).and_then(|()| file.set_len(text.len() as u64));
    written.map_err(VolumeError::at("write to", &path))?;
    Ok(Taken::Held(Lock { _file: file, _running: running }))
}

fn take_running(state: &Dir, shared: bool) -> rustix::io::Result<File> {
    let file = state.open_for_group(RUNNING, OFlags::RDWR).map_err(|_| Errno::NOLCK)?;
    let kind = if shared { libc::F_RDLCK } else { libc::F_WRLCK };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(kind)))
        .map_err(|errno| Errno::from_raw_os_error(errno as i32))?;
    Ok(file)
}

/// Describes a lock on all bytes of a file.
fn whole_file(kind: libc::c_int) -> libc::flock {
    let short = |number: libc::c_int| libc::c_short::try_from(number).unwrap_or_default();
    libc::flock { l_type: short(kind), l_whence: short(libc::SEEK_SET), l_start: 0, l_len: 0, l_pid: 0 }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtWork {
    /// This holder's attempt.
    Yes(Holder),
    /// Nobody holds the lock.
    No,
    /// The volume does not tell.
    Unknown,
}

/// Asks whether an attempt is at work, without taking a lock.
pub fn at_work(state: &Dir) -> AtWork {
    let file = match state.open_regular(RUNNING, OFlags::RDONLY, 0) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return at_work_by_flock(state),
        Err(_) => return AtWork::Unknown,
    };
    let mut lock = whole_file(libc::F_WRLCK);
    match fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) if libc::c_int::from(lock.l_type) == libc::F_UNLCK => AtWork::No,
        Ok(_) => {
            let holder = state.open_regular(Name::Attempt.file(), OFlags::RDONLY, 0);
            AtWork::Yes(holder.map(|mut file| read(&mut file)).unwrap_or_default())
        }
        Err(_) => AtWork::Unknown,
    }
}

/// For a volume where only version 0.1 has run: its lock can only be tested by taking it for a moment.
fn at_work_by_flock(state: &Dir) -> AtWork {
    let mut file = match state.open_regular(Name::Attempt.file(), OFlags::RDWR, 0) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return AtWork::No,
        Err(_) => return AtWork::Unknown,
    };
    match flock(&file, true) {
        Answer::Taken => AtWork::No,
        Answer::Held => AtWork::Yes(read(&mut file)),
        Answer::Unknown(_) => AtWork::Unknown,
    }
}

enum Answer {
    Taken,
    Held,
    /// An answer that means neither taken nor held, and never free.
    Unknown(io::Error),
}

fn flock(file: &File, shared: bool) -> Answer {
    let operation =
        if shared { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    match rustix::fs::flock(file, operation) {
        Ok(()) => Answer::Taken,
        Err(Errno::WOULDBLOCK) => Answer::Held,
        Err(errno) => Answer::Unknown(errno.into()),
    }
}

fn read(file: &mut File) -> Holder {
    let mut text = Vec::new();
    // A holder that is just writing its name is reported without one.
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
        assert_eq!(at_work(&state), AtWork::Yes(holder));
        drop(lock);
        assert_eq!(at_work(&state), AtWork::No);
    }
}
