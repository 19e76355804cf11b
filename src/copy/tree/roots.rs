//! The source and the destination: their directories, whether links are followed, and errors with their paths.

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
use crate::copy::tree::entry::DirContext;
use crate::copy::tree::place::leads_to;
use crate::support::rooted_dir::Dir;

#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) source: Dir,
    pub(crate) source_path: PathBuf,
    /// Set if a single file is copied: its name.
    pub(crate) single: Option<Single>,
    pub(crate) destination: Dir,
    pub(crate) path: PathBuf,
    /// Device and inode of the destination and its state directory, if they exist.
    pub(crate) not_source: Vec<(u64, u64)>,
    /// This copy, or an earlier one that did not finish, created the destination.
    pub(crate) created: bool,
    /// Links on the volume that lead to directories are followed.
    pub(crate) follow: bool,
    /// Links in the source are followed.
    pub(crate) dereference: bool,
}

impl Roots {
    /// Fails if the destination's path no longer leads to the directory that was copied into.
    pub(crate) fn in_place(&self) -> Result<(), Error> {
        let failed = |e| Error::system("open the destination", &self.path, e);
        if leads_to(&self.path, &self.destination).map_err(failed)? {
            return Ok(());
        }
        Err(Error::apart(format!(
            "{} is no longer the directory that was copied into: it was moved, removed or mounted over meanwhile; copy again",
            shown_path(&self.path)
        )))
    }

    /// Refuses a source directory that is the destination, reached by a link or a second mount: the copy would never
    /// end.
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

    /// Opens a directory of the destination; `None` if it is missing or no directory.
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

    /// The status of a name on the volume.
    pub(crate) fn look(
        &self,
        made: &OwnedFd,
        here: &DirContext<'_>,
        name: &CStr,
    ) -> Result<Option<Stat>, Error> {
        match rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.volume_error("stat", &here.child(name), errno)),
        }
    }

    /// A file's name in the source; that of a single file may differ.
    pub(crate) fn source_name<'n>(&'n self, here: &DirContext<'_>, name: &'n CStr) -> &'n CStr {
        match &self.single {
            Some(single) if here.node.parent.is_none() => &single.from,
            _ => name,
        }
    }

    /// The status of a source entry. With `dereference`, that of a link's target.
    pub(crate) fn source_stat(&self, here: &DirContext<'_>, name: &CStr) -> Result<Stat, Error> {
        let flags = if self.dereference { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        rustix::fs::statat(here.source, self.source_name(here, name), flags)
            .map_err(|e| self.source_error("stat", &here.child(name), e))
    }
}

/// An error about a source entry. A permission error counts as a wrong request, because it would fail again next time.
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
