//! A new file in staging: created, given its metadata last, or discarded; or reused from an interrupted attempt.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::copy::error::Error;
use crate::copy::io::durable;
use crate::copy::io::metadata::{Before, Meta, time_of};
use crate::copy::io::path::join;
use crate::copy::io::transfer::{self, Target};
use crate::copy::manifest::Time;
use crate::copy::stage::stager::Stager;
use crate::copy::stage::staging::{Leftover, key};
use crate::copy::tree::node::Node;
use crate::copy::tree::version::Version;
use crate::copy::tree::worker::Worker;

pub(crate) struct NewFile {
    pub(crate) file: OwnedFd,
    /// It was created with its final mode.
    moded: bool,
}

impl Stager<'_> {
    /// Creates a file where new entries of the directory go.
    pub(crate) fn create(
        &self,
        worker: &Worker,
        (node, name): (&Node, &CStr),
        meta: &Meta,
    ) -> Result<NewFile, Error> {
        let place = self.place(node)?;
        let (mode, moded) = self.permissions.creation(meta.mode, !worker.xattrs.is_empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*place, name, flags, Mode::from_raw_mode(mode))
            .map_err(|e| self.roots.volume_error("create", &node.child_path(name), e))?;
        Ok(NewFile { file, moded })
    }

    /// Sets metadata last: size and mtime then prove that the file is complete.
    pub(crate) fn complete_file(
        &self,
        worker: &Worker,
        (node, name): (&Node, &CStr),
        new: &NewFile,
        meta: &Meta,
    ) -> Result<(), Error> {
        let failed = |e: io::Error| self.roots.volume_error("complete", &node.child_path(name), e);
        let before = Before::Made { moded: new.moded };
        self.permissions.apply(&new.file, meta, &worker.xattrs, before).map_err(failed)?;
        if self.fsync_each {
            durable::sync_one(&new.file).map_err(failed)?;
        }
        Ok(())
    }

    /// Discards the staged file because its source changed during the read.
    pub(crate) fn unstage(&self, node: &Node, name: &CStr) -> Result<(), Error> {
        let place = self.place(node)?;
        rustix::fs::unlinkat(&*place, name, AtFlags::empty())
            .map_err(|e| self.roots.volume_error("remove", &node.child_path(name), e))
    }

    /// The file that an earlier attempt staged under this name with the same size and mtime.
    pub(crate) fn leftover(&self, node: &Node, name: &CStr, size: u64, mtime: Time) -> Option<Leftover<'_>> {
        if self.leftovers.is_empty() {
            return None;
        }
        let (above, way) = node.way();
        let found = self.leftovers.open(key(&above.path()), &join(&way, name.to_bytes()))?;
        (transfer::size(&found.stat) == size && time_of(&found.stat) == mtime).then_some(found)
    }

    /// Reuses a staged file if its content is the version's. It is read in full, because it may not have reached the
    /// storage.
    pub(crate) fn reuse(
        &self,
        worker: &mut Worker,
        (node, name): (&Node, &CStr),
        version: &Version<'_>,
    ) -> Result<bool, Error> {
        let found = self.leftover(node, name, version.size, version.meta.mtime);
        let Some(found) = found else { return Ok(false) };
        let how = version.content.hashing();
        let mut go_on = |_| !self.control.is_over();
        let target = Target::none(how);
        let hash = transfer::stream(&found.file, &found.stat, target, &mut worker.other, &mut go_on);
        if !hash.is_ok_and(|(hash, _)| how.content(hash) == version.content) {
            return Ok(false);
        }
        let failed = |e: io::Error| self.roots.volume_error("stage", &node.child_path(name), e);
        let stat = found.stat;
        let Some(file) = found.take(&*self.place(node)?, name).map_err(failed)? else { return Ok(false) };
        self.permissions.apply(&file, &version.meta, &worker.xattrs, Before::Found(&stat)).map_err(failed)?;
        if self.fsync_each {
            durable::sync_one(&file).map_err(failed)?;
        }
        Ok(true)
    }
}
