//! Opens source files, and reads them again while they change.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::sight::Sight;
use crate::copy::io::transfer::{self, Failed, READ, Target};
use crate::copy::manifest::Hash;
use crate::copy::stage::stager::Stager;
use crate::copy::tree::entry::DirContext;
use crate::copy::tree::version::Opened;
use crate::copy::tree::worker::Worker;

/// How often a source file is read if it keeps changing.
pub(crate) const ATTEMPTS: usize = 3;

/// Where the bytes of a file go; nowhere if it is only hashed.
#[derive(Clone, Copy)]
pub(crate) struct Sink<'a> {
    pub(crate) to: Option<&'a OwnedFd>,
    /// The bytes count as progress.
    pub(crate) counted: bool,
}

impl Stager<'_> {
    /// Opens a source file; `None` if it has vanished or is no file any more, which is reported.
    pub(crate) fn open_source(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        name: &CStr,
    ) -> Result<Option<Opened>, Error> {
        match self.open_file(worker, here, name)? {
            Some(file) => self.regular(worker, here, name, file),
            None => Ok(None),
        }
    }

    /// As [`Stager::open_source`], for a file that is already open.
    pub(crate) fn regular(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        name: &CStr,
        file: OwnedFd,
    ) -> Result<Option<Opened>, Error> {
        let stat =
            rustix::fs::fstat(&file).map_err(|e| self.roots.source_error("stat", &here.child(name), e))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            return Ok(Some(Opened { file, stat }));
        }
        worker.report.changed_source.push(here.child(name));
        Ok(None)
    }

    /// As [`Stager::open_source`], but of any type.
    pub(crate) fn open_file(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        name: &CStr,
    ) -> Result<Option<OwnedFd>, Error> {
        let flags = if self.roots.dereference { READ.difference(OFlags::NOFOLLOW) } else { READ };
        match rustix::fs::openat(here.source, self.roots.source_name(here, name), flags, Mode::empty()) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => {
                worker.report.changed_source.push(here.child(name));
                Ok(None)
            }
            Err(errno) => Err(self.roots.source_error("open", &here.child(name), errno)),
        }
    }

    /// Reads the whole file, hashes it and writes it to the sink, again if it changes meanwhile. Returns hash and
    /// length in bytes; `None` if it kept changing.
    pub(crate) fn stream(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        (name, from): (&CStr, &Opened),
        sink: Sink<'_>,
    ) -> Result<Option<(Hash, u64)>, Error> {
        let mut step = |n| {
            if sink.counted {
                self.control.counters.add(0, n);
            }
            !self.control.is_over()
        };
        let how = transfer::hashing(&from.stat);
        let target = Target { file: sink.to.map(AsFd::as_fd), reflink: Some(&self.reflink), how };
        let mut reopened;
        let mut from = from;
        for attempt in 1..=ATTEMPTS {
            let Opened { file, stat } = from;
            let (hash, len) =
                transfer::stream(file, stat, target, &mut worker.buffer, &mut step).map_err(|failed| {
                    match failed {
                        Failed::Reading(e) => self.roots.source_error("read", &here.child(name), e),
                        Failed::Writing(e) => self.roots.volume_error("write", &here.child(name), e),
                        Failed::Stopped => Error::cancelled(),
                    }
                })?;
            let after =
                rustix::fs::fstat(file).map_err(|e| self.roots.source_error("stat", &here.child(name), e))?;
            if len == transfer::size(stat) && Sight::from(stat) == Sight::from(&after) {
                return Ok(Some((hash, len)));
            }
            if attempt == ATTEMPTS {
                break;
            }
            if let Some(to) = sink.to {
                rustix::fs::ftruncate(to, 0)
                    .map_err(|e| self.roots.volume_error("write", &here.child(name), e))?;
            }
            // NFS and FUSE show others' writes only to a later open.
            let Some(opened) = self.open_source(worker, here, name)? else { return Ok(None) };
            reopened = opened;
            from = &reopened;
        }
        worker.report.changed_source.push(here.child(name));
        Ok(None)
    }
}
