//! One file or link on its way to the volume: made in staging, filled, and given its metadata last; or the metadata of
//! what is there set right.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::copy::engine::{Engine, Worker};
use crate::copy::error::Error;
use crate::copy::io::metadata::{Before, Meta, Xattrs, time_of};
use crate::copy::io::path::{beside, child, join, names_beside, shown};
use crate::copy::io::transfer::{self, Target};
use crate::copy::manifest::{Content, Flags, Kind, Left, Time};
use crate::copy::plan::compare::compare_content;
use crate::copy::plan::entry::{Entry, Here};
use crate::copy::plan::links::Outcome;
use crate::copy::plan::source_file::{Opened, Version};
use crate::copy::stage::node::Node;
use crate::copy::stage::staging::{Leftover, key};

/// Where its bytes come from.
#[derive(Clone, Copy)]
pub(in crate::copy) enum Data<'a> {
    /// They are in the worker's buffer.
    Buffered(usize),
    /// They are read again.
    File(&'a Opened),
    /// They need not be copied: another name of the same file was.
    LinkTo { dir: &'a OwnedFd, name: &'a CStr, ino: Option<u64> },
    /// A symbolic link's target is in the version itself.
    Link,
    /// The image has what the manifest says, by its times; opened when needed.
    Trusted,
}

/// What the image has under a name.
#[derive(Clone, Copy)]
pub(in crate::copy) struct Incoming<'a> {
    pub(in crate::copy) version: &'a Version<'a>,
    pub(in crate::copy) data: Data<'a>,
}

/// Under which name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::copy) enum Place {
    /// Its own.
    Name,
    /// `NAME.from-image`.
    Beside,
}

impl Engine<'_> {
    /// A first copy of a large file: hashed while it is written.
    pub(in crate::copy) fn large_install(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        from: &Opened,
    ) -> Result<Option<(Outcome, Version<'static>)>, Error> {
        let meta = self.permissions.wanted(&from.stat);
        let how = transfer::hashing(&from.stat);
        if let Some(version) = self.reuse_large(worker, here, name, from)? {
            worker.report.files += 1;
            version.record(name, Flags::default(), Left::AsImage).write(&mut worker.block);
            return Ok(Some((Outcome::Staged, version)));
        }
        let (to, created_final) = self.create(worker, here.node, name, &meta)?;
        let Some((hash, len)) = self.stream(worker, here, name, from, Some(&to), true)? else {
            self.unstage(here.node, name)?;
            return Ok(None);
        };
        self.complete_file(worker, here.node, name, &to, &meta, created_final)?;
        let version = self.version(worker, &from.stat, len, how.content(hash));
        worker.report.files += 1;
        worker.report.changes.push(&here.child(name), "installed", "new in the source");
        worker.report.bytes += len;
        self.counters.add(1, 0);
        self.counters.wrote(1, len);
        version.record(name, Flags::default(), Left::AsImage).write(&mut worker.block);
        Ok(Some((Outcome::Staged, version)))
    }

    /// A file that an earlier attempt has staged already, if it is what the image has.
    fn reuse_large(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
        from: &Opened,
    ) -> Result<Option<Version<'static>>, Error> {
        if self.leftover(here.node, name, transfer::size(&from.stat), time_of(&from.stat)).is_none() {
            return Ok(None);
        }
        let Some((hash, len)) = self.stream(worker, here, name, from, None, true)? else { return Ok(None) };
        let version = self.version(worker, &from.stat, len, transfer::hashing(&from.stat).content(hash));
        self.counters.add(1, 0);
        let reused = self.reuse(worker, here.node, name, &version)?;
        Ok(reused.then_some(version))
    }

    /// What an earlier attempt has staged under this name with the same size and mtime.
    fn leftover(&self, node: &Node, name: &CStr, size: u64, mtime: Time) -> Option<Leftover<'_>> {
        if self.leftovers.is_empty() {
            return None;
        }
        let (above, way) = node.way();
        let found = self.leftovers.open(key(&above.path()), &join(&way, name.to_bytes()))?;
        (transfer::size(&found.stat) == size && time_of(&found.stat) == mtime).then_some(found)
    }

    /// Takes what an earlier attempt has staged, if its content is the version's: read in full, as nothing says that it
    /// reached the storage.
    fn reuse(
        &self,
        worker: &mut Worker,
        node: &Node,
        name: &CStr,
        version: &Version<'_>,
    ) -> Result<bool, Error> {
        let found = self.leftover(node, name, version.size, version.meta.mtime);
        let Some(found) = found else { return Ok(false) };
        let how = version.content.hashing();
        let mut go_on = |_| !self.cancel.is_cancelled();
        let hash =
            transfer::stream(&found.file, &found.stat, Target::none(how), &mut worker.other, &mut go_on);
        if !hash.is_ok_and(|(hash, _)| how.content(hash) == version.content) {
            return Ok(false);
        }
        let failed = |e: io::Error| self.volume_error("stage", &child(node, name), e);
        let stat = found.stat;
        let file = found.take(&*self.place(node)?, name).map_err(failed)?;
        self.permissions.apply(&file, &version.meta, &worker.xattrs, Before::Found(&stat)).map_err(failed)?;
        if self.fsync_each {
            crate::copy::io::durable::sync_one(&file).map_err(failed)?;
        }
        Ok(true)
    }

    /// Takes back what was staged of a file that changed while it was read.
    fn unstage(&self, node: &Node, name: &CStr) -> Result<(), Error> {
        let place = self.place(node)?;
        rustix::fs::unlinkat(&*place, name, AtFlags::empty())
            .map_err(|e| self.volume_error("remove", &child(node, name), e))
    }

    /// Puts the image's version where new entries of the directory go: under its name, or beside what has that. Answers the
    /// content that it has there; `None` where the source changed each time that it was read, or the volume has no such.
    pub(in crate::copy) fn install(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        Incoming { version, data }: Incoming<'_>,
        to: Place,
    ) -> Result<Option<Content<'static>>, Error> {
        let node = here.node;
        let content = version.content.clone().into_owned();
        let aside = match to {
            Place::Name => None,
            Place::Beside => {
                let (name, is_there) = self.name_beside(worker, here, entry, version)?;
                worker.report.beside.push(beside_of(&here.child(entry.name), &here.child(&name)));
                if is_there {
                    return Ok(Some(content));
                }
                Some(name)
            }
        };
        let as_name = aside.as_deref().unwrap_or(entry.name);
        if version.kind == Kind::Link {
            worker.report.links += 1;
        } else {
            worker.report.files += 1;
        }
        if self.request.options.dry_run {
            if !matches!(data, Data::LinkTo { .. } | Data::Link) {
                worker.report.bytes += version.size;
            }
            self.plan(worker, here, entry, as_name, to)?;
            return Ok(Some(content));
        }
        let failed = |e: io::Error| self.volume_error("write", &here.child(as_name), e);
        match data {
            Data::Link => {
                let place = self.place(node)?;
                let Content::Target(target) = &version.content else { return Ok(None) };
                match rustix::fs::symlinkat(&**target, &*place, as_name) {
                    Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                        worker.report.links -= 1;
                        self.permissions.refuse("symbolic links").map_err(failed)?;
                        return Ok(None);
                    }
                    made => made.map_err(|e| failed(e.into()))?,
                }
                let before = Before::Made { moded: true };
                self.permissions.apply_link(&*place, as_name, &version.meta, before).map_err(failed)?;
                return Ok(Some(content));
            }
            Data::LinkTo { dir, name: first, ino } => {
                let place = self.place(node)?;
                if let Err(errno) = rustix::fs::linkat(dir, first, &*place, as_name, AtFlags::empty()) {
                    worker.report.files -= 1;
                    return Err(failed(errno.into()));
                }
                if let Some(ino) = ino {
                    // The name may have been given to something else since it was looked at.
                    let stat = rustix::fs::statat(&*place, as_name, AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(|e| failed(e.into()))?;
                    if stat.st_ino != ino {
                        return Err(failed(Errno::STALE.into()));
                    }
                }
                self.counters.wrote(1, 0);
                return Ok(Some(content));
            }
            Data::Trusted => {
                let name = entry.name;
                let Some(from) = self.open_source(worker, here, name)? else { return Ok(None) };
                worker
                    .xattrs
                    .read(&from.file)
                    .map_err(|e| self.source_error("read", &here.child(name), e))?;
                let (to, created_final) = self.create(worker, node, as_name, &version.meta)?;
                let Some((hash, len)) = self.stream(worker, here, name, &from, Some(&to), false)? else {
                    self.unstage(node, as_name)?;
                    return Ok(None);
                };
                self.complete_file(worker, node, as_name, &to, &version.meta, created_final)?;
                worker.report.bytes += len;
                self.counters.wrote(1, len);
                return Ok(Some(transfer::hashing(&from.stat).content(hash)));
            }
            Data::Buffered(_) | Data::File(_) if self.reuse(worker, node, as_name, version)? => {
                return Ok(Some(content));
            }
            Data::Buffered(len) => {
                let (to, created_final) = self.create(worker, node, as_name, &version.meta)?;
                transfer::write_all(&to, &worker.buffer[..len], 0).map_err(failed)?;
                self.complete_file(worker, node, as_name, &to, &version.meta, created_final)?;
            }
            Data::File(from) => {
                let (to, created_final) = self.create(worker, node, as_name, &version.meta)?;
                let streamed = self.stream(worker, here, entry.name, from, Some(&to), false)?;
                let how = transfer::hashing(&from.stat);
                if streamed.is_none_or(|(hash, _)| how.content(hash) != content) {
                    if streamed.is_some() {
                        worker.report.changed_source.push(shown(&here.child(entry.name)));
                    }
                    self.unstage(node, as_name)?;
                    return Ok(None);
                }
                self.complete_file(worker, node, as_name, &to, &version.meta, created_final)?;
            }
        }
        worker.report.bytes += version.size;
        self.counters.wrote(1, version.size);
        Ok(Some(content))
    }

    /// The name for the image's version beside a user's: the first `NAME.from-image` that neither the image has nor, with
    /// anything but what an earlier copy put there, the volume. True where the volume has the version there already.
    fn name_beside(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        version: &Version<'_>,
    ) -> Result<(CString, bool), Error> {
        let Some(made) = here.made else { return Ok((beside(entry.name, ".from-image"), false)) };
        for name in names_beside(entry.name, ".from-image") {
            if rustix::fs::statat(here.source, &*name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                continue;
            }
            let Some(stat) = self.look(made, here, &name)? else { return Ok((name, false)) };
            let failed = |e| self.volume_error("compare", &here.child(&name), e);
            let mut has = |kind, size, content: &Content<'_>| {
                compare_content(made, &name, kind, size, content, &stat, &mut worker.other).map_err(failed)
            };
            if has(version.kind, version.size, &version.content)? {
                return Ok((name, true));
            }
            let earlier = entry.record.filter(|record| record.flags.kept);
            if let Some(record) = earlier
                && has(record.kind, record.size, &record.content)?
            {
                return Ok((name, false));
            }
        }
        Err(self.volume_error("name the image's version of", &here.child(entry.name), Errno::EXIST))
    }

    /// Lists what putting an entry on the volume would do.
    fn plan(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        as_name: &CStr,
        to: Place,
    ) -> Result<(), Error> {
        plan_parents(worker, here.node);
        let there = match here.made {
            // Another name of a file is linked as if the volume had nothing under it.
            Some(made) if entry.volume.is_none() || to == Place::Beside => self.look(made, here, as_name)?,
            _ => entry.volume.copied(),
        };
        let verb = match (to, &there) {
            (Place::Beside, _) => "put beside",
            (Place::Name, Some(_)) => "replace",
            (Place::Name, None) => "create",
        };
        worker.report.plan.push(format!("{verb} {}", shown(&here.child(as_name))));
        if there.is_some_and(|stat| is_directory(&stat)) {
            self.plan_swap(worker, here, as_name)?;
        }
        Ok(())
    }

    pub(in crate::copy) fn create(
        &self,
        worker: &Worker,
        node: &Node,
        name: &CStr,
        meta: &Meta,
    ) -> Result<(OwnedFd, bool), Error> {
        let place = self.place(node)?;
        let (mode, is_final) = self.permissions.creation(meta.mode, !worker.xattrs.is_empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*place, name, flags, Mode::from_raw_mode(mode))
            .map_err(|e| self.volume_error("create", &child(node, name), e))?;
        Ok((file, is_final))
    }

    /// Metadata last: with them, size and mtime say that the file is complete.
    pub(in crate::copy) fn complete_file(
        &self,
        worker: &Worker,
        node: &Node,
        name: &CStr,
        file: &OwnedFd,
        meta: &Meta,
        created_final: bool,
    ) -> Result<(), Error> {
        let failed = |e: io::Error| self.volume_error("complete", &child(node, name), e);
        let before = Before::Made { moded: created_final };
        self.permissions.apply(file, meta, &worker.xattrs, before).map_err(failed)?;
        if self.fsync_each {
            crate::copy::io::durable::sync_one(file).map_err(failed)?;
        }
        Ok(())
    }

    /// Whether mode (a link has none), mtime or (where it could be set) owner are not what they are to be.
    pub(in crate::copy) fn differs(
        &self,
        worker: &Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        version: &Version<'_>,
    ) -> Result<bool, Error> {
        let (Some(stat), Some(made)) = (entry.volume, here.made) else { return Ok(false) };
        let mut differs = self.permissions.differs(stat, &version.meta);
        if differs && self.permissions.lacks().is_none() && !self.request.options.dry_run {
            // Before the first of them is set right, it is tried out what the volume keeps.
            self.stage().map_err(|e| self.volume_error("stage", &here.child(entry.name), e))?;
            differs = self.permissions.differs(stat, &version.meta);
        }
        let lacks = self.permissions.lacks().unwrap_or_default();
        if differs || worker.xattrs.is_empty() || version.kind != Kind::File || lacks.xattrs {
            return Ok(differs);
        }
        // A restore may have left them out, or setcap(8) taken them away.
        let failed = |e| self.volume_error("read the attributes of", &here.child(entry.name), e);
        let Ok(there) =
            rustix::fs::openat(made, entry.name, crate::copy::plan::source_file::READ, Mode::empty())
        else {
            return Ok(false);
        };
        let mut found = Xattrs::default();
        found.read(&there).map_err(failed)?;
        Ok(!worker.xattrs.are_in(&found))
    }

    /// Sets the metadata of a file or link on the volume right; false where that would reach another name of it, or
    /// is not possible without a new one.
    pub(in crate::copy) fn mend(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        entry: Entry<'_>,
        Incoming { version, data }: Incoming<'_>,
    ) -> Result<bool, Error> {
        let Some(made) = here.made.filter(|_| entry.volume.is_some_and(|stat| stat.st_nlink == 1)) else {
            return Ok(false);
        };
        if self.request.options.dry_run {
            worker.report.plan.push(format!("set the metadata of {}", shown(&here.child(entry.name))));
            worker.report.metadata += 1;
            return Ok(true);
        }
        let how = if version.kind == Kind::Link { OFlags::PATH } else { OFlags::RDONLY | OFlags::NONBLOCK };
        let Ok(there) =
            rustix::fs::openat(made, entry.name, how | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        else {
            return Ok(false);
        };
        let failed = |e: io::Error| self.volume_error("set the metadata of", &here.child(entry.name), e);
        let before = rustix::fs::fstat(&there).map_err(|e| failed(e.into()))?;
        if before.st_nlink != 1 || !is_still(&there, &before, version) {
            return Ok(false);
        }
        if matches!(data, Data::Trusted) {
            worker.xattrs.clear();
        }
        let found = Before::Found(&before);
        let set = match version.kind {
            Kind::Link => self.permissions.apply_link(&there, c"", &version.meta, found),
            _ => self.permissions.apply(&there, &version.meta, &worker.xattrs, found),
        };
        match set {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            // utimensat(2) takes a handle of a link since Linux 5.8.
            Err(error) if version.kind == Kind::Link && error.kind() == io::ErrorKind::InvalidInput => {
                return Ok(false);
            }
            Err(error) => return Err(failed(error)),
        }
        let after = rustix::fs::fstat(&there).map_err(|e| failed(e.into()))?;
        let all = |s: &Stat| (s.st_mode, s.st_uid, s.st_gid, s.st_mtime, s.st_mtime_nsec);
        if all(&before) == all(&after) {
            worker.report.unchanged += 1;
        } else {
            worker.report.metadata += 1;
            worker.report.changes.push(&here.child(entry.name), "metadata", "not as in the source");
        }
        Ok(true)
    }
}

/// Of a conflict, where the image's version is.
pub(in crate::copy) fn beside_of(path: &[u8], beside: &[u8]) -> String {
    format!(
        "{} was changed by the user and by the image; the image's version is beside it as {}",
        shown(path),
        shown(beside)
    )
}

/// Lists the directories that are made when something is put into this one.
pub(in crate::copy) fn plan_parents(worker: &mut Worker, node: &Node) {
    node.for_unplanned(&mut |node| {
        worker.report.dirs += 1;
        worker.report.plan.push(format!("create {}/", shown(&node.path())));
    });
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Whether what was opened is what was decided about: a name may have been given to something else meanwhile.
fn is_still(there: &OwnedFd, stat: &Stat, version: &Version<'_>) -> bool {
    match (&version.content, FileType::from_raw_mode(stat.st_mode)) {
        (Content::Target(target), FileType::Symlink) => {
            rustix::fs::readlinkat(there, c"", Vec::new()).is_ok_and(|found| found.as_bytes() == &**target)
        }
        (Content::Hash(_) | Content::Sparse(_), FileType::RegularFile) => true,
        _ => false,
    }
}
