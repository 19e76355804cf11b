//! Stages the image's version of one entry: its bytes, a link to another name of the file, or a symbolic link.

use std::ffi::{CStr, CString};
use std::io;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::metadata::Before;
use crate::copy::io::path::{beside, names_beside, shown};
use crate::copy::io::transfer;
use crate::copy::manifest::{Content, Kind, Payload};
use crate::copy::plan::compare::compare_content;
use crate::copy::report::Report;
use crate::copy::stage::source::Sink;
use crate::copy::stage::stager::Stager;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::version::{Data, Incoming, Opened, Version};
use crate::copy::tree::worker::Worker;

/// The name to install under.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its own.
    Name,
    /// `NAME.from-image`.
    Beside,
}

impl Stager<'_> {
    /// Stages the image's version under its name or beside it. Returns its content; `None` if the source kept changing,
    /// or the volume does not support the type.
    pub(crate) fn install(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        (entry, to): (Entry<'_>, Place),
        incoming: Incoming<'_>,
    ) -> Result<Option<Content<'static>>, Error> {
        let version = incoming.version;
        let content = || Some(version.content.clone().into_owned());
        let mut name = entry.name.to_owned();
        if to == Place::Beside {
            let is_there;
            (name, is_there) = self.name_beside(worker, here, entry, version)?;
            worker.report.beside.push(beside_of(&here.child(entry.name), &here.child(&name)));
            if is_there {
                return Ok(content());
            }
        }
        let count = |report: &mut Report| match version.kind {
            Kind::Link => report.links += 1,
            _ => report.files += 1,
        };
        if self.control.dry_run {
            count(&mut worker.report);
            if !matches!(incoming.data, Data::LinkTo { .. } | Data::Link) {
                worker.report.bytes += version.size;
            }
            self.plan_lines(worker, here, (entry, to), &name)?;
            return Ok(content());
        }
        entry.volume.filter(|_| to == Place::Name).inspect(|stat| here.node.replaced.add(&name, stat));
        let installed = match incoming.data {
            Data::Link => self.install_link(here, &name, version)?.then(content).flatten(),
            Data::LinkTo { dir, name: first, ino } => {
                self.link_to(here, &name, (dir, first, ino))?;
                content()
            }
            Data::Trusted => self.install_trusted(worker, here, (entry.name, &name), version)?,
            Data::Buffered(_) | Data::File(_) if self.reuse(worker, (here.node, &name), version)? => {
                content()
            }
            Data::Buffered(len) => {
                self.install_buffered(worker, here, (&name, version), len)?;
                content()
            }
            Data::File(from) => {
                self.install_file(worker, here, (entry.name, &name), (from, version))?.then(content).flatten()
            }
        };
        if installed.is_some() {
            count(&mut worker.report);
        }
        Ok(installed)
    }

    /// False if the volume does not support symbolic links.
    fn install_link(&self, here: &DirContext<'_>, name: &CStr, version: &Version<'_>) -> Result<bool, Error> {
        let failed = |e: io::Error| self.roots.volume_error("write", &here.child(name), e);
        let place = self.place(here.node)?;
        let Content::Target(target) = &version.content else { return Ok(false) };
        match rustix::fs::symlinkat(&**target, &*place, name) {
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.permissions.refuse("symbolic links").map_err(failed)?;
                return Ok(false);
            }
            made => made.map_err(|e| failed(e.into()))?,
        }
        let before = Before::Made { moded: true };
        self.permissions.apply_link(&*place, name, &version.meta, before).map_err(failed)?;
        Ok(true)
    }

    /// Links to another name of the same file, which must be the inode that was checked.
    fn link_to(
        &self,
        here: &DirContext<'_>,
        name: &CStr,
        (dir, first, ino): (&std::os::fd::OwnedFd, &CStr, Option<u64>),
    ) -> Result<(), Error> {
        let failed = |e: Errno| self.roots.volume_error("write", &here.child(name), e);
        let place = self.place(here.node)?;
        rustix::fs::linkat(dir, first, &*place, name, AtFlags::empty()).map_err(failed)?;
        if let Some(ino) = ino {
            // Another file may have got the name since.
            let stat = rustix::fs::statat(&*place, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            if stat.st_ino != ino {
                return Err(failed(Errno::STALE));
            }
        }
        self.control.counters.wrote(1, 0);
        Ok(())
    }

    /// Installs a file whose content was known by its times; it is read here for the first time.
    fn install_trusted(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        (source, name): (&CStr, &CStr),
        version: &Version<'_>,
    ) -> Result<Option<Content<'static>>, Error> {
        let Some(from) = self.open_source(worker, here, source)? else { return Ok(None) };
        worker
            .xattrs
            .read(&from.file)
            .map_err(|e| self.roots.source_error("read", &here.child(source), e))?;
        let new = self.create(worker, (here.node, name), &version.meta)?;
        let sink = Sink { to: Some(&new.file), counted: false };
        let Some((hash, len)) = self.stream(worker, here, (source, &from), sink)? else {
            self.unstage(here.node, name)?;
            return Ok(None);
        };
        self.complete_file(worker, (here.node, name), &new, &version.meta)?;
        worker.report.bytes += len;
        self.control.counters.wrote(1, len);
        Ok(Some(transfer::hashing(&from.stat).content(hash)))
    }

    fn install_buffered(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        (name, version): (&CStr, &Version<'_>),
        len: usize,
    ) -> Result<(), Error> {
        let new = self.create(worker, (here.node, name), &version.meta)?;
        transfer::write_all(&new.file, &worker.buffer[..len], 0)
            .map_err(|e| self.roots.volume_error("write", &here.child(name), e))?;
        self.complete_file(worker, (here.node, name), &new, &version.meta)?;
        worker.report.bytes += version.size;
        self.control.counters.wrote(1, version.size);
        Ok(())
    }

    /// False if the content is no longer what was hashed.
    fn install_file(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        (source, name): (&CStr, &CStr),
        (from, version): (&Opened, &Version<'_>),
    ) -> Result<bool, Error> {
        let new = self.create(worker, (here.node, name), &version.meta)?;
        let sink = Sink { to: Some(&new.file), counted: false };
        let streamed = self.stream(worker, here, (source, from), sink)?;
        let how = transfer::hashing(&from.stat);
        if streamed.is_none_or(|(hash, _)| how.content(hash) != version.content) {
            if streamed.is_some() {
                worker.report.changed_source.push(here.child(source));
            }
            self.unstage(here.node, name)?;
            return Ok(false);
        }
        self.complete_file(worker, (here.node, name), &new, &version.meta)?;
        worker.report.bytes += version.size;
        self.control.counters.wrote(1, version.size);
        Ok(true)
    }

    /// The name for the image's version beside the user's: the first `NAME.from-image` that the image does not have and
    /// that on the volume is free or an earlier copy's. True if the volume has this version there already.
    fn name_beside(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        version: &Version<'_>,
    ) -> Result<(CString, bool), Error> {
        let Some(made) = here.made else { return Ok((beside(entry.name, ".from-image"), false)) };
        for name in names_beside(entry.name, ".from-image") {
            if rustix::fs::statat(here.source, &*name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                continue;
            }
            let Some(stat) = self.roots.look(made, here, &name)? else { return Ok((name, false)) };
            let failed = |e| self.roots.volume_error("compare", &here.child(&name), e);
            let mut has = |wanted: Payload<'_>| {
                compare_content(made, &name, wanted, &stat, &mut worker.other).map_err(failed)
            };
            if has(version.payload())? {
                return Ok((name, true));
            }
            let earlier = entry.record.filter(|record| record.flags.kept);
            if let Some(record) = earlier
                && has(record.payload())?
            {
                here.node.replaced.add(&name, &stat);
                return Ok((name, false));
            }
        }
        let path = here.child(entry.name);
        Err(self.roots.volume_error("name the image's version of", &path, Errno::EXIST))
    }
}

/// The sentence that says where the image's version of a conflict is.
pub(crate) fn beside_of(path: &[u8], beside: &[u8]) -> String {
    format!(
        "{} was changed by the user and by the image; the image's version is beside it as {}",
        shown(path),
        shown(beside)
    )
}
