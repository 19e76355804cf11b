//! Decides about an entry of the volume, not a directory of the destination's own, that has the name of a directory of the
//! image.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::mount::is_mount;
use crate::copy::io::path::{names_beside, shown};
use crate::copy::options::Policy;
use crate::copy::plan::known::Known;
use crate::copy::plan::protected::Protected;
use crate::copy::preflight::outside_of_state;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::worker::Worker;
use crate::support::rooted_dir::Dir;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InTheWay {
    /// It is the administrator's link to a directory: use that directory.
    Follow,
    /// Replace it by the directory.
    Replace,
    /// It stays, and the image's directory is not installed.
    Leave,
    /// It stays, and the image's directory is installed beside it.
    Keep,
    /// Something is mounted there, or it is a link to another mount: left alone with everything in it.
    Mount,
    /// Another copier has installed the directory meanwhile.
    Gone,
}

impl Known<'_> {
    /// `None` if nothing is in the way: the volume has no such entry, or a directory on the destination's mount.
    pub(crate) fn in_the_way(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<Option<InTheWay>, Error> {
        let (Some(made), Some(stat)) = (here.made, entry.volume) else { return Ok(None) };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return Ok(stays_as_mount(worker, here, entry).then_some(InTheWay::Mount));
        }
        let noted = self.as_noted(worker, here, entry)?;
        let record = noted.as_ref().or(entry.record);
        let left = self.is_as_left(worker, here, Entry { record, ..entry });
        if self.scope.is_shared(here, entry.name)
            && self.roots.look(made, here, entry.name)?.is_some_and(|stat| is_dir(&stat))
        {
            return Ok(Some(InTheWay::Gone));
        }
        // Another owner's record is only here if the volume has what it says.
        let record = if left? { record } else { entry.base };
        let left = record.is_some();
        if kind == FileType::Symlink {
            // A link that a copy installed is the image's, not the administrator's.
            let installed = left && record.is_some_and(|record| !record.flags.found);
            if self.roots.follow && !installed {
                let led = self.roots.path.join(OsStr::from_bytes(&here.child(entry.name)));
                if let Ok(led) = led.canonicalize()
                    && led.is_dir()
                {
                    outside_of_state(&led)?;
                    return self.followed(worker, &here.child(entry.name), &led).map(Some);
                }
            }
        }
        Ok(Some(match self.policy() {
            Policy::Missing => InTheWay::Leave,
            _ if stays_as_mount(worker, here, entry) => InTheWay::Leave,
            _ if !left && self.stays_as_own(worker, here, entry)? => InTheWay::Leave,
            Policy::KeepModified if !left => InTheWay::Keep,
            _ => InTheWay::Replace,
        }))
    }

    /// Whether a link's directory can be copied into: a rename cannot cross mounts. If not, adds a remark.
    fn followed(&self, worker: &mut Worker, path: &[u8], led: &Path) -> Result<InTheWay, Error> {
        let is_ours = Dir::open(led).and_then(|led| self.roots.destination.is_on_mount_of(led));
        if is_ours.map_err(|e| self.roots.volume_error("follow", path, e))? {
            return Ok(InTheWay::Follow);
        }
        worker.report.remarks.push(format!("{} leads to another mount: not copied", shown(path)));
        Ok(InTheWay::Mount)
    }

    /// Whether the entry is the runner's own, which no copy replaces. If so, adds a remark.
    pub(crate) fn stays_as_own(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<bool, Error> {
        let (Some(made), Some(stat)) = (here.made, entry.volume) else { return Ok(false) };
        let path = here.child(entry.name);
        let own = Protected::is_own(made, entry.name, stat);
        let own = own.map_err(|e| self.roots.volume_error("look at", &path, e))?;
        if own {
            let what = if is_dir(stat) { "holds files" } else { "is a file" };
            let remark = format!("{} {what} of the runner's own on the volume: not copied", shown(&path));
            worker.report.remarks.push(remark);
        }
        Ok(own)
    }

    /// A name beside the user's entry for the image's directory. The image does not have it, and on the volume it is
    /// free or a directory.
    pub(crate) fn directory_beside(&self, here: &DirContext<'_>, name: &CStr) -> Result<CString, Error> {
        for alias in names_beside(name, ".from-image") {
            if rustix::fs::statat(here.source, &*alias, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                continue;
            }
            let there = here.made.map(|made| self.roots.look(made, here, &alias)).transpose()?.flatten();
            if there.is_none_or(|stat| is_dir(&stat)) {
                return Ok(alias);
            }
        }
        Err(self.roots.volume_error("name the image's version of", &here.child(name), Errno::EXIST))
    }
}

/// Whether something is mounted at the name, so that it cannot be replaced. If so, adds a remark.
pub(crate) fn stays_as_mount(worker: &mut Worker, here: &DirContext<'_>, entry: Entry<'_>) -> bool {
    let (Some(made), Some(_)) = (here.made, entry.volume) else { return false };
    let is_mount = is_mount(made, entry.name);
    if is_mount {
        let remark = format!("{} is a mount on the volume: not copied", shown(&here.child(entry.name)));
        worker.report.remarks.push(remark);
    }
    is_mount
}

pub(crate) fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}
