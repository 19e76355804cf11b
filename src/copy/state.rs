//! The state directory of a destination, `.hook-runner`: manifests in force, the journal, staging. It is group-writable
//! and has the set-group-ID bit, so that another user of the volume's group (`fsGroup`) can continue.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::copy::manifest::sync_directory;
use crate::support::own::STATE_DIRECTORY;
use crate::support::rooted_dir::Dir;

pub(super) const STATE: &str = STATE_DIRECTORY;
/// One manifest for each owner.
pub(super) const MANIFESTS: &str = "manifests";
/// What copies are about to do, and which runs are at work.
pub(super) const JOURNAL: &str = "journal";
/// In the journal: a copy created the destination, which does not have its final mode and times yet.
const NEW_ROOT: &str = "new-root";

#[derive(Debug)]
pub(super) struct State {
    pub(super) root: Dir,
    pub(super) manifests: Dir,
    pub(super) journal: Dir,
}

impl State {
    /// Opens the state directory of a destination, creating what is missing.
    pub(super) fn create(destination: &Dir) -> io::Result<Self> {
        let root = make(destination, STATE)?;
        Ok(Self { manifests: make(&root, MANIFESTS)?, journal: make(&root, JOURNAL)?, root })
    }

    /// Opens it if it exists.
    pub(super) fn open(destination: &Dir) -> io::Result<Option<Self>> {
        let opened = destination.open_dir(STATE).and_then(|root| {
            Ok(Self { manifests: root.open_dir(MANIFESTS)?, journal: root.open_dir(JOURNAL)?, root })
        });
        match opened {
            Ok(state) => Ok(Some(state)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens it if it has manifests, and recreates other parts that somebody has removed.
    pub(super) fn open_to_write(destination: &Dir) -> io::Result<Option<Self>> {
        match destination.find(Path::new(STATE).join(MANIFESTS))? {
            Some(_) => Self::create(destination).map(Some),
            None => Ok(None),
        }
    }

    /// The owners that have a manifest here, by file name.
    pub(super) fn owners(&self) -> io::Result<Vec<OsString>> {
        owners(&self.manifests)
    }

    /// Whether copiers of a shared tree have left their parts.
    pub(super) fn has_parts(&self) -> io::Result<bool> {
        Ok(self.journal.entries()?.iter().any(|(name, _)| name.to_string_lossy().contains(".part-")))
    }

    pub(super) fn mark_new_root(&self) -> io::Result<()> {
        self.journal.open_for_group(NEW_ROOT, OFlags::WRONLY).map(drop)
    }

    pub(super) fn is_new_root(&self) -> io::Result<bool> {
        Ok(self.journal.find(NEW_ROOT)?.is_some())
    }

    pub(super) fn root_is_done(&self) -> io::Result<()> {
        self.journal.remove_all(NEW_ROOT)
    }

    /// Journals durably that a run may change what each owner has installed.
    pub(super) fn begin_run(&self, run: &str) -> io::Result<Vec<File>> {
        let mut marks = Vec::new();
        for owner in self.owners()? {
            let mark = self.journal.open_for_group(run_mark(&owner), OFlags::RDWR)?;
            mark.set_len(0)?;
            rustix::io::write(&mark, run.as_bytes())?;
            mark.sync_all()?;
            // The lock is held while the run is at work. A volume without locks cannot tell.
            let _ = rustix::fs::flock(&mark, FlockOperation::NonBlockingLockExclusive);
            marks.push(mark);
        }
        sync_directory(&self.journal)?;
        Ok(marks)
    }

    /// The run that may have changed what an owner installed and has not ended well, or not ended yet.
    pub(super) fn unfinished_run(&self, owner: &OsStr) -> io::Result<Option<Unfinished>> {
        let mark = match self.journal.open_regular(run_mark(owner), OFlags::RDWR, 0) {
            Ok(mark) => mark,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut run = vec![0; 4096];
        let len = rustix::io::read(&mark, &mut run)?;
        let lock = rustix::fs::flock(&mark, FlockOperation::NonBlockingLockExclusive);
        let at_work = lock == Err(rustix::io::Errno::WOULDBLOCK);
        Ok(Some(Unfinished { run: String::from_utf8_lossy(&run[..len]).into_owned(), at_work }))
    }

    /// The run has ended well, or what it left was handled.
    pub(super) fn run_is_over(&self, owner: &OsStr) -> io::Result<()> {
        self.journal.remove_all(run_mark(owner))
    }
}

/// The owners of these manifests, by file name.
pub(super) fn owners(manifests: &Dir) -> io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStrExt;
    let mut names: Vec<_> = manifests.entries()?.into_iter().map(|(name, _)| name).collect();
    names.retain(|name| !name.as_bytes().contains(&b'.'));
    names.sort_unstable();
    Ok(names)
}

/// Whether a volume is case-insensitive, found out with the name of the state directory, which every destination has.
pub(super) fn is_caseless(destination: &Dir) -> bool {
    let inode = |name: &str| destination.find(name).ok().flatten().map(|stat| (stat.st_dev, stat.st_ino));
    let state = inode(STATE);
    state.is_some() && inode(&STATE.to_uppercase()) == state
}

/// A run that has not ended well, or not ended yet.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) run: String,
    pub(super) at_work: bool,
}

fn run_mark(owner: &OsStr) -> OsString {
    let mut name = owner.to_owned();
    name.push(".run");
    name
}

/// A directory of the state, created if missing.
pub(super) fn make(at: &Dir, name: impl AsRef<Path>) -> io::Result<Dir> {
    let name = name.as_ref();
    match at.open_dir(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let dir = at.create_dir_all(name, 0o770)?;
    // Fails if another user made it, or if the volume has modes of its own: then it stays as it is.
    let _ = rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o2770));
    Ok(dir)
}
