//! Makes way for a staged entry: renames what has the name to `NAME.from-volume` beside it, so that nothing of the
//! volume's ever gets into staging. Removes it from there only if copies installed all of it.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::metadata::open_up;
use crate::copy::io::path::{join, names_beside, shown};
use crate::copy::io::sight::Sight;
use crate::copy::journal::moved;
use crate::copy::options::Prune;
use crate::copy::plan::installed::Installed;
use crate::copy::publish::moving::{Moving, rename_new};
use crate::copy::publish::publisher::Publisher;
use crate::copy::tree::worker::Worker;
use crate::support::rooted_dir::Dir;

impl Publisher<'_> {
    /// Renames the entry that has the name, calls `put` to give the name to something else, and removes the renamed
    /// entry if copies installed all of it.
    pub(crate) fn replace_by(
        &self,
        worker: &mut Worker,
        at: &Moving<'_>,
        name: &CStr,
        put: &dyn Fn() -> rustix::io::Result<()>,
    ) -> Result<(), Error> {
        let path = at.child(name);
        let failed = |e: io::Error| self.roots.volume_error("rename", &path, e);
        let installed = self.known.installed(at.made, name, &path)?;
        let there =
            rustix::fs::statat(at.made, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| failed(e.into()))?;
        let is_dir = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
        let beside = self.put_beside(at.made, name, &path).map_err(failed)?;
        if let Err(errno) = put() {
            // Undo: the entry gets its name back, if that is still free.
            let _ = rename_new((at.made, &beside), (at.made, name));
            return Err(failed(errno.into()));
        }
        if let Some(installed) = installed
            && remove_installed(at.made, &beside, &installed)
                .map_err(|e| self.roots.volume_error("remove", &path, e))?
        {
            return Ok(());
        }
        let skipped = self.known.scope.filter.skips(at.path, beside.to_bytes(), is_dir);
        let fate = if self.known.options.prune == Prune::All && !skipped {
            "removed, as --prune all removes what the source does not have".to_owned()
        } else {
            format!("moved to {}", shown(&join(at.path, beside.to_bytes())))
        };
        worker.report.remarks.push(format!("{} was in the way: {fate}", shown(&path)));
        Ok(())
    }

    /// Renames an entry to the first free one of `NAME.from-volume`, `NAME.from-volume-1` and so on.
    fn put_beside(&self, made: &OwnedFd, name: &CStr, path: &[u8]) -> io::Result<CString> {
        for beside in names_beside(name, ".from-volume") {
            if rustix::fs::statat(made, &beside, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                continue;
            }
            moved::note(self.files, path, &beside)?;
            match rename_new((made, name), (made, &beside)) {
                Ok(()) => return Ok(beside),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::EXIST.into())
    }
}

/// Removes what copies installed, unless somebody has changed it since it was checked. False if anything stays.
pub(crate) fn remove_installed(made: &OwnedFd, name: &CStr, installed: &Installed) -> io::Result<bool> {
    let at = OsStr::from_bytes(name.to_bytes());
    let stat = rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        rustix::fs::unlinkat(made, name, AtFlags::empty())?;
        return Ok(true);
    }
    let top = Dir::from_fd(rustix::io::fcntl_dupfd_cloexec(made, 0)?).open_dir(at)?;
    // The deepest paths come last.
    for (path, sight, kind) in installed.iter().rev().filter(|(path, ..)| !path.is_empty()) {
        let path = Path::new(OsStr::from_bytes(path));
        let (parent, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
        let dir = top.open_dir(parent)?;
        if *kind != FileType::Directory && dir.find(name)?.is_some_and(|stat| Sight::from(&stat) != *sight) {
            return Ok(false);
        }
        let remove = || if *kind == FileType::Directory { dir.remove_dir(name) } else { dir.unlink(name) };
        match remove() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                open_up(&dir).map_or(Err(error), |_| remove())?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(false),
            done => done?,
        }
    }
    match rustix::fs::unlinkat(made, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
