//! Checks source and destination, and refuses what cannot be copied, before anything is created.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, OFlags, Stat, Uid};

use crate::copy::error::Error;
use crate::copy::io::path::shown_path;
use crate::copy::manifest;
use crate::copy::request::{Request, owner_of};
use crate::copy::state::State;
use crate::support::own::{STATE_DIRECTORY, is_state};
use crate::support::rooted_dir::Dir;

/// The directories of a copy. If the source is a file, it is one name in the source's directory.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) source: Dir,
    pub(crate) single: Option<Single>,
    /// The directory that is copied into.
    pub(crate) destination: PathBuf,
}

/// A single file and the name that it is copied to.
#[derive(Debug, Clone)]
pub(crate) struct Single {
    pub(crate) from: CString,
    pub(crate) to: CString,
}

impl Places {
    /// Opens the source and finds the destination. Creates nothing.
    pub(crate) fn find(request: &Request) -> Result<Self, Error> {
        outside_of_state(&request.destination)?;
        let (source, destination) = (&request.source, &request.destination);
        let missing = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => Error::request(format!("there is no source {}", shown_path(source))),
            _ => Error::unusable("open the source", source, e),
        };
        let stat = rustix::fs::stat(source).map_err(|e| missing(e.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                if let Ok(there) = rustix::fs::stat(destination)
                    && FileType::from_raw_mode(there.st_mode) != FileType::Directory
                {
                    return Err(Error::request(format!(
                        "the destination {} is not a directory, and the source {} is one",
                        shown_path(destination),
                        shown_path(source)
                    )));
                }
                let found = Self {
                    source: Dir::open(source).map_err(missing)?,
                    single: None,
                    destination: destination.clone(),
                };
                found.apart(request)?;
                found.leads_somewhere()
            }
            FileType::RegularFile => Self::find_single(request)?.leads_somewhere(),
            _ => Err(Error::request(format!(
                "the source {} is neither a directory nor a file",
                shown_path(source)
            ))),
        }
    }

    /// Refuses a directory that cannot be made.
    fn leads_somewhere(self) -> Result<Self, Error> {
        let Some(link) = leads_nowhere(&self.destination) else { return Ok(self) };
        let (at, link) = (shown_path(&self.destination), shown_path(&link));
        Err(Error::request(format!(
            "the destination {at} cannot be made: {link} is a link that leads to nothing"
        )))
    }

    fn find_single(request: &Request) -> Result<Self, Error> {
        let (source, destination) = (&request.source, &request.destination);
        let unusable = |e: io::Error| Error::unusable("open the source", source, e);
        let real = source.canonicalize().map_err(unusable)?;
        let is_directory = destination.is_dir() || destination.as_os_str().as_bytes().ends_with(b"/");
        let (Some(to), false) = (destination.file_name(), is_directory) else {
            return Err(Error::request(format!(
                "the source {} is a file and the destination {} a directory: name the file there",
                shown_path(source),
                shown_path(destination)
            )));
        };
        let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
        let name = |name: &std::ffi::OsStr| CString::new(name.as_bytes()).unwrap_or_default();
        let same = destination.canonicalize().is_ok_and(|there| there == real);
        if same {
            return Err(Error::request(format!(
                "source and destination are the same file, {}",
                shown_path(destination)
            )));
        }
        Ok(Self {
            source: Dir::open(real.parent().unwrap_or(Path::new("/"))).map_err(unusable)?,
            single: Some(Single { from: name(real.file_name().unwrap_or_default()), to: name(to) }),
            destination: parent.unwrap_or(Path::new(".")).to_owned(),
        })
    }

    /// The directory that a request copies into, without looking at its source, which the run may have removed. For a
    /// single file, the file's directory, even if the run has removed the file.
    pub(crate) fn of_destination(request: &Request) -> PathBuf {
        let destination = &request.destination;
        let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let owner = manifest::file_name(&owner_of(request));
        let copied_into_parent = || {
            let state = Dir::open(parent).and_then(|parent| State::open(&parent)).ok().flatten();
            state.and_then(|state| state.owners().ok()).is_some_and(|owners| owners.contains(&owner))
        };
        let is_there = std::fs::symlink_metadata(destination).is_ok();
        let in_parent = !destination.is_dir() && (is_there || copied_into_parent());
        if in_parent { parent } else { destination }.to_owned()
    }

    /// Refuses a source inside the destination, or the reverse: the copy would copy its own output.
    fn apart(&self, request: &Request) -> Result<(), Error> {
        let (from, to) = (request.source.as_path(), request.destination.as_path());
        let shown = shown_path;
        let failed = |e| Error::system("open", to, e);
        let existing = Dir::open(to).ok();
        let nearest = to
            .ancestors()
            .find_map(|path| Dir::open(if path.as_os_str().is_empty() { Path::new(".") } else { path }).ok());
        if let Some(nearest) = &nearest
            && inside(nearest, &self.source).map_err(failed)?
        {
            return Err(Error::request(format!(
                "the destination {} is inside the source {}",
                shown(to),
                shown(from)
            )));
        }
        if let Some(existing) = &existing
            && inside(&self.source, existing).map_err(failed)?
        {
            return Err(Error::request(format!(
                "the source {} is inside the destination {}",
                shown(from),
                shown(to)
            )));
        }
        Ok(())
    }

    /// Opens the destination and its state, creating what is missing. A new destination gets the source's mode and
    /// owner.
    pub(crate) fn make(&self, request: &Request) -> Result<(Dir, State), Error> {
        let path = &self.destination;
        let failed = |e| Error::unusable("open the destination", path, e);
        let is_new = match Dir::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            opened => return self.with_state(opened.map_err(failed)?),
        };
        std::fs::create_dir_all(path).map_err(|e| Error::unusable("create the destination", path, e))?;
        let (destination, state) = self.with_state(Dir::open(path).map_err(failed)?)?;
        if is_new && self.single.is_none() {
            let unmarked = |e| Error::system("write to the journal of", path, e);
            state.mark_new_root().map_err(unmarked)?;
            let stat =
                self.source.stat().map_err(|e| Error::unusable("open the source", &request.source, e))?;
            give(&destination, &stat, request);
        }
        Ok((destination, state))
    }

    fn with_state(&self, destination: Dir) -> Result<(Dir, State), Error> {
        let state = State::create(&destination);
        let made = state.map_err(|e| Error::system("create the state directory in", &self.destination, e))?;
        Ok((destination, made))
    }
}

/// The dangling link that a path is, or leads through.
pub fn leads_nowhere(path: &Path) -> Option<PathBuf> {
    // Without a slash at the end, behind which the link would be followed.
    let path: PathBuf = path.components().collect();
    let found = path.ancestors().find(|at| at.symlink_metadata().is_ok())?;
    let is_absent = std::fs::metadata(found).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    is_absent.then(|| found.to_owned())
}

/// Gives a new destination the source's owner and mode, as far as permitted.
fn give(destination: &Dir, source: &Stat, request: &Request) {
    let options = &request.options;
    let owner = options.chown.map_or((source.st_uid, source.st_gid), |owner| (owner.uid, owner.gid));
    let mode = source.st_mode & 0o7777;
    let mode = options.chmod.as_ref().map_or(mode, |change| change.apply(mode, true));
    let _ = rustix::fs::fchown(destination, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
    // On a volume with an fsGroup it has inherited the set-group-ID bit.
    let inherited = destination.stat().map_or(0, |stat| stat.st_mode & 0o2000);
    let _ = rustix::fs::fchmod(destination, Mode::from_raw_mode(mode | inherited | 0o700));
}

/// Refuses a destination inside a state directory, where everything is the runner's own.
pub(crate) fn outside_of_state(destination: &Path) -> Result<(), Error> {
    let path = std::path::absolute(destination).unwrap_or_else(|_| destination.to_owned());
    let is_one = |at: &&Path| {
        at.file_name().is_some_and(|name| name == STATE_DIRECTORY)
            || Dir::open(at).and_then(|dir| is_state(&dir)).unwrap_or(false)
    };
    path.ancestors().find(is_one).map_or(Ok(()), |state| {
        let state = shown_path(state);
        Err(Error::request(format!(
            "the destination {} is in {state}, where hook-runner keeps logs and state: name another directory",
            shown_path(destination)
        )))
    })
}

fn inside(inner: &Dir, outer: &Dir) -> io::Result<bool> {
    let wanted = outer.stat()?;
    let mut stat = inner.stat()?;
    let mut at = rustix::fs::openat(inner, c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        if (stat.st_dev, stat.st_ino) == (wanted.st_dev, wanted.st_ino) {
            return Ok(true);
        }
        at = rustix::fs::openat(&at, c"..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let up = rustix::fs::fstat(&at)?;
        if (up.st_dev, up.st_ino) == (stat.st_dev, stat.st_ino) {
            return Ok(false);
        }
        stat = up;
    }
}
