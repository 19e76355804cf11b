//! The state directory of a destination, `.hook-runner`: manifests in force, the journal, staging. It is group-writable
//! and has the set-group-ID bit, so that another user of the volume's group (`fsGroup`) can continue.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, FlockOperation, OFlags};
use rustix::io::Errno;

use crate::copy::io::path::shown_path;
use crate::copy::manifest::sync_directory;
use crate::support::own::STATE_DIRECTORY;
use crate::support::rooted_dir::Dir;

pub(super) const STATE: &str = STATE_DIRECTORY;
/// One manifest for each owner.
pub(super) const MANIFESTS: &str = "manifests";
/// What copies are about to do, and which runs are at work.
pub(super) const JOURNAL: &str = "journal";
/// Complete entries that do not have their final name yet.
pub(super) const STAGE: &str = "stage";
/// Paths of destinations inside this one, each ended by a NUL. An empty one says that the whole tree was looked through.
pub(super) const LIST: &str = "inside";
/// In the journal: a copy created the destination, which does not have its final mode and times yet.
const NEW_ROOT: &str = "new-root";

#[derive(Debug)]
pub(super) struct State {
    pub(super) root: Dir,
    pub(super) manifests: Dir,
    pub(super) journal: Dir,
    /// Entries that were in the place of one of these directories, by their new names.
    pub(super) set_aside: Vec<PathBuf>,
}

impl State {
    /// Opens the state directory of a destination, creating what is missing. Sets aside what is in its place.
    pub(super) fn create(destination: &Dir) -> io::Result<Self> {
        let mut set_aside = Vec::new();
        let mut make = |at: &Dir, above: &str, name: &str| -> io::Result<Dir> {
            let (dir, aside) = at.open_own_dir(name, false)?;
            set_aside.extend(aside.map(|name| Path::new(above).join(name)));
            Ok(dir)
        };
        let root = make(destination, "", STATE)?;
        let (manifests, journal) = (make(&root, STATE, MANIFESTS)?, make(&root, STATE, JOURNAL)?);
        if root.find(STAGE)?.is_some() {
            make(&root, STATE, STAGE)?;
        }
        for (dir, name) in [(&manifests, MANIFESTS), (&journal, JOURNAL)] {
            for aside in set_aside_in(dir)? {
                set_aside.push(Path::new(STATE).join(name).join(aside));
            }
        }
        if root.find(LIST)?.is_some_and(|stat| !is_regular(stat.st_mode)) {
            set_aside.push(Path::new(STATE).join(root.set_aside(LIST)?));
        }
        Ok(Self { root, manifests, journal, set_aside })
    }

    /// A sentence for each entry that was set aside.
    pub(super) fn remarks(&self, destination: &Path) -> Vec<String> {
        let sentence = |aside: &PathBuf| {
            let to = shown_path(&destination.join(aside));
            format!("what was in the place of hook-runner's state is now {to}")
        };
        self.set_aside.iter().map(sentence).collect()
    }

    /// Opens it if it exists. An entry of another type in its place counts as none.
    pub(super) fn open(destination: &Dir) -> io::Result<Option<Self>> {
        let opened = destination.open_dir(STATE).and_then(|root| {
            let (manifests, journal) = (root.open_dir(MANIFESTS)?, root.open_dir(JOURNAL)?);
            Ok(Self { root, manifests, journal, set_aside: Vec::new() })
        });
        match opened {
            Ok(state) => Ok(Some(state)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens it if it has manifests, and recreates other parts that somebody has removed.
    pub(super) fn open_to_write(destination: &Dir) -> io::Result<Option<Self>> {
        match destination.open_dir(Path::new(STATE).join(MANIFESTS)) {
            Ok(_) => Self::create(destination).map(Some),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
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
        let marks: Vec<_> =
            self.owners()?.iter().map(|owner| self.mark(owner, run)).collect::<io::Result<_>>()?;
        sync_directory(&self.journal)?;
        Ok(marks)
    }

    /// Journals that a run may change what one owner has installed. The lock on the file is held while the run is at
    /// work; a volume without locks cannot tell.
    pub(super) fn mark(&self, owner: &OsStr, run: &str) -> io::Result<File> {
        let mark = self.journal.open_for_group(run_mark(owner), OFlags::RDWR)?;
        mark.set_len(0)?;
        rustix::io::write(&mark, run.as_bytes())?;
        mark.sync_all()?;
        let _ = rustix::fs::flock(&mark, FlockOperation::NonBlockingLockExclusive);
        Ok(mark)
    }

    /// Whether there is a mark of a run for this owner.
    pub(super) fn is_marked(&self, owner: &OsStr) -> io::Result<bool> {
        Ok(self.journal.find(run_mark(owner))?.is_some())
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

/// Sets aside what is no file where only files are.
fn set_aside_in(dir: &Dir) -> io::Result<Vec<OsString>> {
    let mut aside = Vec::new();
    for (name, _) in dir.entries()? {
        let is_new = !name.to_string_lossy().contains(".from-volume");
        if is_new && dir.find(&name)?.is_some_and(|stat| !is_regular(stat.st_mode)) {
            aside.push(dir.set_aside(&name)?);
        }
    }
    Ok(aside)
}

fn is_regular(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::RegularFile
}

/// Whether a directory of the state is not there, or something else is in its place.
fn is_absent(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}
