//! The source and the destination: their directories, how links in them are taken, and the errors that name a path of theirs.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::path::shown_path;
use crate::copy::preflight::Single;
use crate::copy::tree::entry::Here;
use crate::copy::tree::place::leads_to;
use crate::support::rooted_dir::Dir;

/// Source and destination.
#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) source: Dir,
    pub(crate) source_path: PathBuf,
    /// One file of the source directory is all that is copied.
    pub(crate) single: Option<Single>,
    pub(crate) destination: Dir,
    pub(crate) path: PathBuf,
    /// The device and inode of the destination and of its state directory; none where they are not there yet.
    pub(crate) not_source: Vec<(u64, u64)>,
    /// The destination was made by this copy, or one before it that did not come to its end.
    pub(crate) created: bool,
    /// Links of the destination that lead to directories are followed.
    pub(crate) follow: bool,
    /// What links of the source lead to is copied.
    pub(crate) dereference: bool,
}

impl Roots {
    /// Refuses to have copied into a directory that the destination's path does not lead to any more.
    pub(crate) fn in_place(&self) -> Result<(), Error> {
        let failed = |e| Error::system("open the destination", &self.path, e);
        if leads_to(&self.path, &self.destination).map_err(failed)? {
            return Ok(());
        }
        Err(Error::apart(format!(
            "{} is not the directory any more that was copied into: it was moved, removed or mounted over meanwhile; copy again",
            shown_path(&self.path)
        )))
    }

    /// Refuses a directory of the source that is the destination, seen by a link or a second mount: it would be copied into itself
    /// without end.
    pub(crate) fn apart(&self, path: &[u8], stat: &Stat) -> Result<(), Error> {
        if !self.not_source.contains(&(stat.st_dev, stat.st_ino)) {
            return Ok(());
        }
        Err(Error::request(format!(
            "{} in the source leads to the destination {}: exclude it",
            shown_path(&joined(&self.source_path, path)),
            shown_path(&self.path)
        )))
    }

    /// An error about an entry of the destination.
    pub(crate) fn volume_error(
        &self,
        operation: &'static str,
        path: &[u8],
        error: impl Into<io::Error>,
    ) -> Error {
        Error::system(operation, joined(&self.path, path), error)
    }

    /// An error about an entry of the source.
    pub(crate) fn source_error(
        &self,
        operation: &'static str,
        path: &[u8],
        error: impl Into<io::Error>,
    ) -> Error {
        source_error(&self.source_path, operation, path, error)
    }

    /// An error about the destination's manifest.
    pub(crate) fn manifest_error(&self, error: io::Error) -> Error {
        Error::system("write the manifest of", &self.path, error)
    }

    /// Opens a directory of the destination; `None` where it is not there, or not a directory.
    pub(crate) fn volume_dir(&self, path: &[u8]) -> Result<Option<Dir>, Error> {
        let rel = OsStr::from_bytes(path);
        let opened =
            if self.follow { Dir::open(self.path.join(rel)) } else { self.destination.open_dir(rel) };
        match opened {
            Ok(dir) => Ok(Some(dir)),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                _ => Err(self.volume_error("open", path, error)),
            },
        }
    }

    /// What the volume has under a name.
    pub(crate) fn look(&self, made: &OwnedFd, here: &Here<'_>, name: &CStr) -> Result<Option<Stat>, Error> {
        match rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.volume_error("stat", &here.child(name), errno)),
        }
    }

    /// What a file is called in the source: of a single one the name may be another.
    pub(crate) fn source_name<'n>(&'n self, here: &Here<'_>, name: &'n CStr) -> &'n CStr {
        match &self.single {
            Some(single) if here.node.parent.is_none() => &single.from,
            _ => name,
        }
    }

    /// The status of an entry of the source; of what a link leads to where links are followed.
    pub(crate) fn source_stat(&self, here: &Here<'_>, name: &CStr) -> Result<Stat, Error> {
        let flags = if self.dereference { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        rustix::fs::statat(here.source, self.source_name(here, name), flags)
            .map_err(|e| self.source_error("stat", &here.child(name), e))
    }
}

/// An error about an entry of the source. One that may not be read will not be readable the next time either.
pub(crate) fn source_error(
    source: &Path,
    operation: &'static str,
    path: &[u8],
    error: impl Into<io::Error>,
) -> Error {
    let error = error.into();
    let path = joined(source, path);
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Error::unusable(operation, path, error);
    }
    Error::system(operation, path, error)
}

fn joined(base: &Path, path: &[u8]) -> PathBuf {
    if path.is_empty() { base.to_owned() } else { base.join(OsStr::from_bytes(path)) }
}
