//! Handles one name of the source: whether it takes part, what the volume has under it, and its type.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::path::{shown, shown_path};
use crate::copy::io::readahead::Foreseen;
use crate::copy::manifest::{Kind, Record};
use crate::copy::state::STATE;
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::worker::Worker;
use crate::copy::walk::context::Walk;

/// A name of the source, its record, and what was seen and read ahead of it.
pub(crate) struct Found<'a> {
    pub(crate) name: &'a CStr,
    pub(crate) kind: FileType,
    pub(crate) record: Option<&'a Record<'a>>,
    pub(crate) foreseen: Foreseen,
}

impl Walk<'_> {
    pub(crate) fn entry(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        found: Found<'_>,
    ) -> Result<(), Error> {
        // Checked for each entry: a large directory on a slow volume takes longer than a stop may.
        self.control.go_on()?;
        let Found { name, record, .. } = found;
        let Some(kind) = self.kind(here, &found)? else { return Ok(()) };
        let is_dir = kind == FileType::Directory;
        if self.scope.is_reserved(here, name) {
            if self.scope.only.is_some() {
                let path = shown_path(&self.roots.path.join(shown(&here.child(name))));
                let own = "is hook-runner's own, and no copy replaces it; name the file otherwise";
                return Err(Error::request(format!("{path} {own}")));
            }
            if name.to_bytes() != STATE.as_bytes() && name != c"lost+found" {
                let path = shown(&here.child(name));
                let remark = format!("{path} is a file of the runner's own on the volume: not copied");
                worker.report.remarks.push(remark);
            }
            return Ok(());
        }
        if !self.scope.is_mine(here, name.to_bytes(), is_dir) {
            return if is_dir { self.pass_through(worker, here, name, record) } else { Ok(()) };
        }
        if self.scope.filter.skips(here.path, name.to_bytes(), is_dir) {
            return self.retain(worker, here, record);
        }
        if !is_dir {
            self.scope.filter.meet(here.path, name.to_bytes());
        }
        let volume = self.volume(here, name, is_dir)?;
        if volume.is_some_and(|stat| self.scope.protected.is_inode(&stat)) {
            return Ok(());
        }
        let base = self.known.base_of(worker, here, name, volume.as_ref())?;
        let later = worker.claims.later(name);
        let covered = later.is_some();
        let entry = Entry { name, record, volume: volume.as_ref(), base: base.as_ref(), covered };
        match kind {
            // Another owner has something else there, so that nothing below it has a place.
            FileType::Directory if later.is_some_and(|kind| kind != Kind::Dir) => {
                let path = here.child(name);
                worker.report.changes.push(&path, "left", "a later copy has it");
                worker.report.left_to_others.push(path);
                self.retain(worker, here, record)
            }
            FileType::Directory => self.directory(worker, here, entry),
            FileType::RegularFile => self.file(worker, here, entry, found.foreseen),
            FileType::Symlink if self.roots.dereference => {
                let link = shown_path(&self.roots.source_path.join(OsStr::from_bytes(&here.child(name))));
                Err(Error::request(format!(
                    "the link {link} leads to nothing, or into itself: exclude it, or copy without --dereference"
                )))
            }
            FileType::Symlink => self.symlink(worker, here, entry),
            _ => {
                worker.report.skipped.push(here.child(name));
                // An earlier release may have had a file here; the image no longer has one.
                record.map_or(Ok(()), |record| self.dropped(worker, here, record.clone()))
            }
        }
    }

    /// The type of a source entry, with links followed if asked for. `None` for what the kubelet keeps beside the files
    /// of a `ConfigMap`.
    fn kind(&self, here: &DirContext<'_>, found: &Found<'_>) -> Result<Option<FileType>, Error> {
        let generation = found.name.to_bytes().starts_with(b"..");
        let kind = match found.kind {
            FileType::Symlink if self.roots.dereference && generation => return Ok(None),
            FileType::Symlink if self.roots.dereference => self.followed(here, found.name)?,
            kind => kind,
        };
        // The directory that a ConfigMap's links lead to.
        let is_generation = self.roots.dereference && kind == FileType::Directory && generation;
        Ok(Some(kind).filter(|kind| *kind != FileType::Unknown && !is_generation))
    }

    /// A link that leads nowhere or into itself stays a link.
    fn followed(&self, here: &DirContext<'_>, name: &CStr) -> Result<FileType, Error> {
        match rustix::fs::statat(here.source, name, AtFlags::empty()) {
            Ok(stat) if !here.node.is_below(&stat) => Ok(FileType::from_raw_mode(stat.st_mode)),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(FileType::Symlink),
            Err(errno) => Err(self.roots.source_error("follow the link", &here.child(name), errno)),
        }
    }

    fn volume(&self, here: &DirContext<'_>, name: &CStr, is_dir: bool) -> Result<Option<Stat>, Error> {
        match here.made {
            // This copy has just made the directory, and nobody else creates its entries.
            Some(_) if here.node.is_just_made() && !(is_dir && self.scope.is_shared(here, name)) => Ok(None),
            Some(made) => self.roots.look(made, here, name),
            None => Ok(None),
        }
    }
}
