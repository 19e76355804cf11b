//! Installs a new file that is too large or too sparse for a worker's buffer: hashes it while writing.

use std::ffi::CStr;

use crate::copy::error::Error;
use crate::copy::io::metadata::time_of;
use crate::copy::io::transfer;
use crate::copy::manifest::{Content, Flags, Kind, Left};
use crate::copy::stage::source::Sink;
use crate::copy::stage::stager::Stager;
use crate::copy::tree::entry::DirContext;
use crate::copy::tree::version::{Opened, Outcome, Version};
use crate::copy::tree::worker::Worker;

impl Stager<'_> {
    /// Stages the file and writes its record; `None` if it kept changing.
    pub(crate) fn install_large(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        (name, from): (&CStr, &Opened),
    ) -> Result<Option<(Outcome, Version<'static>)>, Error> {
        let version = match self.reuse_large(worker, here, (name, from))? {
            Some(version) => version,
            None => match self.copy_large(worker, here, (name, from))? {
                Some(version) => version,
                None => return Ok(None),
            },
        };
        worker.report.files += 1;
        worker.report.changes.push(&here.child(name), "installed", "new in the source");
        version.record(name, Flags::default(), Left::AsImage).write(&mut worker.block);
        Ok(Some((Outcome::Staged, version)))
    }

    fn copy_large(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        (name, from): (&CStr, &Opened),
    ) -> Result<Option<Version<'static>>, Error> {
        let meta = self.permissions.wanted(&from.stat);
        let new = self.create(worker, (here.node, name), &meta)?;
        let sink = Sink { to: Some(&new.file), counted: true };
        let Some((hash, len)) = self.stream(worker, here, (name, from), sink)? else {
            self.unstage(here.node, name)?;
            return Ok(None);
        };
        self.complete_file(worker, (here.node, name), &new, &meta)?;
        worker.report.bytes += len;
        self.control.counters.add(1, 0);
        self.control.counters.wrote(1, len);
        Ok(Some(self.version(worker, from, len, transfer::hashing(&from.stat).content(hash))))
    }

    /// Uses a file that an earlier attempt staged, if it is the image's.
    fn reuse_large(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        (name, from): (&CStr, &Opened),
    ) -> Result<Option<Version<'static>>, Error> {
        if self.leftover(here.node, name, transfer::size(&from.stat), time_of(&from.stat)).is_none() {
            return Ok(None);
        }
        let sink = Sink { to: None, counted: true };
        let Some((hash, len)) = self.stream(worker, here, (name, from), sink)? else { return Ok(None) };
        let version = self.version(worker, from, len, transfer::hashing(&from.stat).content(hash));
        self.control.counters.add(1, 0);
        let reused = self.reuse(worker, (here.node, name), &version)?;
        Ok(reused.then_some(version))
    }

    /// The version of a file that was read.
    pub(crate) fn version(
        &self,
        worker: &Worker,
        from: &Opened,
        size: u64,
        content: Content<'static>,
    ) -> Version<'static> {
        let meta = self.permissions.wanted(&from.stat);
        Version { kind: Kind::File, meta, size, content, xattrs: worker.xattrs.digest() }
    }
}
