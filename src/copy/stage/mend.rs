//! Repairs the metadata of entries on the volume that need no new file.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::copy::differs::Differs;
use crate::copy::error::Error;
use crate::copy::io::metadata::{Before, changed_between, time_of};
use crate::copy::io::path::shown;
use crate::copy::io::transfer::{self, READ};
use crate::copy::io::xattrs::Xattrs;
use crate::copy::manifest::{Content, Kind, Time};
use crate::copy::stage::stager::Stager;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::version::{Data, Incoming, Version};
use crate::copy::tree::worker::Worker;

/// The action and its reason.
pub(crate) const NOT_AS_SOURCE: (&str, &str) = ("metadata", "not as in the source");

impl Stager<'_> {
    /// Whether mode, mtime, owner or attributes differ from the wanted ones and can be set here.
    pub(crate) fn differs(
        &self,
        worker: &Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        version: &Version<'_>,
    ) -> Result<bool, Error> {
        let (Some(stat), Some(made)) = (entry.volume, here.made) else { return Ok(false) };
        let mut differs = self.permissions.differs(stat, &version.meta);
        if differs && self.permissions.lacks().is_none() && !self.control.dry_run {
            // Before the first repair, staging probes what the volume can store.
            self.stage().map_err(|e| self.roots.volume_error("stage", &here.child(entry.name), e))?;
            differs = self.permissions.differs(stat, &version.meta);
        }
        let lacks = self.permissions.lacks().unwrap_or_default();
        if differs || worker.xattrs.is_empty() || version.kind != Kind::File || lacks.xattrs {
            return Ok(differs);
        }
        // A restore may have dropped attributes, or setcap(8) removed them.
        let failed = |e| self.roots.volume_error("read the attributes of", &here.child(entry.name), e);
        let Ok(there) = rustix::fs::openat(made, entry.name, READ, Mode::empty()) else { return Ok(false) };
        let mut found = Xattrs::default();
        found.read(&there).map_err(failed)?;
        Ok(!worker.xattrs.are_in(&found))
    }

    /// What of an entry with other content is not as in the version that replaces it.
    pub(crate) fn replaced(&self, stat: &Stat, version: &Version<'_>) -> Differs {
        let is_same_type = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => version.kind == Kind::File,
            FileType::Symlink => version.kind == Kind::Link,
            _ => false,
        };
        if !is_same_type {
            return Differs::TYPE;
        }
        let size = version.kind == Kind::File && transfer::size(stat) != version.size;
        let content = Differs::of([(Differs::CONTENT, true), (Differs::SIZE, size)]);
        content.and(self.permissions.differing(stat, &version.meta))
    }

    /// Repairs the metadata of a file or link on the volume. False if that would affect another hard link, or needs a
    /// new file.
    pub(crate) fn mend(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        Incoming { version, data }: Incoming<'_>,
    ) -> Result<bool, Error> {
        let Some(made) = here.made.filter(|_| entry.volume.is_some_and(|stat| stat.st_nlink == 1)) else {
            return Ok(false);
        };
        if self.control.dry_run {
            worker.report.plan.push(format!("set the metadata of {}", shown(&here.child(entry.name))));
            let differing = |stat| self.permissions.differing(stat, &version.meta);
            let differs = entry.volume.map_or(Differs::default(), differing);
            worker.report.changes.push_differing(&here.child(entry.name), NOT_AS_SOURCE, differs);
            worker.report.metadata += 1;
            return Ok(true);
        }
        let how = if version.kind == Kind::Link { OFlags::PATH } else { OFlags::RDONLY | OFlags::NONBLOCK };
        let flags = how | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(there) = rustix::fs::openat(made, entry.name, flags, Mode::empty()) else { return Ok(false) };
        let failed =
            |e: io::Error| self.roots.volume_error("set the metadata of", &here.child(entry.name), e);
        let before = rustix::fs::fstat(&there).map_err(|e| failed(e.into()))?;
        if before.st_nlink != 1 || !is_still(&there, &before, version) {
            return Ok(false);
        }
        if matches!(data, Data::Trusted) {
            worker.xattrs.clear();
        }
        let attributes = || self.attributes(worker, &there).map_err(failed);
        let attributes_before = attributes()?;
        let found = Before::Found(&before);
        let set = match version.kind {
            Kind::Link => self.permissions.apply_link(&there, c"", &version.meta, found),
            _ => self.permissions.apply(&there, &version.meta, &worker.xattrs, found),
        };
        match set {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            // utimensat(2) takes a handle of a link only since Linux 5.8.
            Err(error) if version.kind == Kind::Link && error.kind() == io::ErrorKind::InvalidInput => {
                return Ok(false);
            }
            Err(error) => return Err(failed(error)),
        }
        let after = rustix::fs::fstat(&there).map_err(|e| failed(e.into()))?;
        let attributes = Differs::of([(Differs::XATTRS, attributes_before != attributes()?)]);
        if all(&before) == all(&after) && attributes.is_empty() {
            worker.report.unchanged += 1;
        } else {
            worker.report.metadata += 1;
            let differs = changed_between(&before, &after).and(attributes);
            worker.report.changes.push_differing(&here.child(entry.name), NOT_AS_SOURCE, differs);
        }
        Ok(true)
    }

    /// The attributes of a file on the volume, where the image has some for it and the volume keeps them.
    fn attributes(&self, worker: &Worker, there: &OwnedFd) -> io::Result<Xattrs> {
        let mut found = Xattrs::default();
        if !worker.xattrs.is_empty() && !self.permissions.lacks().unwrap_or_default().xattrs {
            found.read(there)?;
        }
        Ok(found)
    }
}

fn all(stat: &Stat) -> (u32, u32, u32, Time) {
    (stat.st_mode, stat.st_uid, stat.st_gid, time_of(stat))
}

/// Whether the opened entry is the one decided about: the name may have been replaced since.
fn is_still(there: &OwnedFd, stat: &Stat, version: &Version<'_>) -> bool {
    match (&version.content, FileType::from_raw_mode(stat.st_mode)) {
        (Content::Target(target), FileType::Symlink) => {
            rustix::fs::readlinkat(there, c"", Vec::new()).is_ok_and(|found| found.as_bytes() == &**target)
        }
        (Content::Hash(_) | Content::Sparse(_), FileType::RegularFile) => true,
        _ => false,
    }
}
