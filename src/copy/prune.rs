//! Removing what the image does not have: what an earlier copy installed and nobody changed (`owned`), or everything
//! (`all`). Last of all, so that a copy that fails has removed nothing.

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::compare::compare_content;
use super::durable;
use super::engine::Engine;
use super::error::Error;
use super::manifest::{Kind, Left, Record, records, spill::Sorted};
use super::metadata::{set_times, time_of};
use super::options::Prune;
use super::path::{join, parent, shown};
use super::report::Report;
use super::stage::STATE;
use crate::support::rooted_dir::Dir;

/// What a dry run has found out would go.
type Planned = HashSet<Vec<u8>>;

/// Called before anything is removed.
type Before<'a> = dyn FnMut() -> Result<(), Error> + 'a;

/// What pruning changed.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    /// Blocks of the manifest; `None` for a directory that is gone.
    pub(super) blocks: HashMap<Box<[u8]>, Option<Vec<u8>>>,
    /// Something was about to be removed, and that was noted.
    pub(super) is_noted: bool,
}

impl Engine<'_> {
    /// Prunes, or in a dry run lists what that would remove.
    pub(super) fn prune(&self, sorted: &Sorted, report: &mut Report) -> Result<Pruned, Error> {
        let dry_run = self.request.options.dry_run;
        let (mut pruned, mut planned) = (Pruned::default(), Planned::new());
        if self.request.options.prune == Prune::None {
            return Ok(pruned);
        }
        let before = report.removed;
        let is_noted = &mut pruned.is_noted;
        let mut note = || {
            let first = !dry_run && !std::mem::replace(is_noted, true);
            if first { self.note_pruning(sorted) } else { Ok(()) }
        };
        let blocks = &mut pruned.blocks;
        // First, as a record of what that took has nothing to stand for any more.
        if self.request.options.prune == Prune::All {
            self.mirror(&mut planned, &mut note, report)?;
        }
        let candidates: Vec<_> = sorted.directories().filter(|(_, orphans, _)| *orphans).collect();
        let (mut block, mut kept) = (Vec::new(), Vec::new());
        // From the last path to the first: what is in a directory goes before it.
        for (path, _, range) in candidates.into_iter().rev() {
            sorted.load(range, &self.old, &mut block).map_err(|e| self.manifest_error(e))?;
            if self.filter.skips_below(path) || !records(&block).any(|record| record.flags.orphan) {
                continue;
            }
            let dir = self.volume_dir(path)?;
            kept.clear();
            let before_dir = report.removed;
            for record in records(&block) {
                self.go_on()?;
                let gone = match &dir {
                    _ if !record.flags.orphan => false,
                    None => true,
                    Some(_) if is_planned(&planned, path) => true,
                    Some(dir) => self.prune_entry(dir, path, &record, &mut planned, &mut note, report)?,
                };
                if !gone {
                    record.write(&mut kept);
                } else if record.kind == Kind::Dir {
                    blocks.insert(join(path, &record.name).into(), None);
                }
            }
            if let Some(dir) = dir.filter(|_| report.removed > before_dir && !path.is_empty() && !dry_run) {
                let source = self.source.open_dir(OsStr::from_bytes(path));
                self.mend_times(&dir, source.ok().as_ref(), path)?;
            }
            if kept != block {
                blocks.insert(path.into(), Some(kept.clone()));
            }
        }
        if report.removed > before && !dry_run {
            durable::sync(&self.destination).map_err(|e| self.volume_error("sync", b"", e))?;
        }
        Ok(pruned)
    }

    /// Removing an entry changed the directory's mtime: it gets the image's, if it is one of the image's.
    fn mend_times(&self, dir: &Dir, source: Option<&Dir>, path: &[u8]) -> Result<(), Error> {
        let Some(source) = source else { return Ok(()) };
        let stat = source.stat().map_err(|e| self.source_error("stat", path, e))?;
        match set_times(dir, time_of(&stat)) {
            // Somebody else's directory that this user may write in.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            set => set.map_err(|e| self.volume_error("complete", path, e)),
        }
    }

    /// Opens a directory of the destination; `None` where it is not there, or not a directory.
    pub(super) fn volume_dir(&self, path: &[u8]) -> Result<Option<Dir>, Error> {
        let rel = OsStr::from_bytes(path);
        let opened = if self.request.options.follow_destination_links {
            Dir::open(self.request.destination.join(rel))
        } else {
            self.destination.open_dir(rel)
        };
        match opened {
            Ok(dir) => Ok(Some(dir)),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                _ => Err(self.volume_error("open", path, error)),
            },
        }
    }

    /// Removes an entry that is no longer in the image if pruning may; true when it is gone, or would be.
    fn prune_entry(
        &self,
        dir: &Dir,
        path: &[u8],
        record: &Record<'_>,
        planned: &mut Planned,
        note: &mut Before<'_>,
        report: &mut Report,
    ) -> Result<bool, Error> {
        let name = OsStr::from_bytes(&record.name);
        let here = join(path, &record.name);
        let failed = |e: io::Error| self.volume_error("remove", &here, e);
        let Some(stat) = dir.find(name).map_err(failed)? else { return Ok(true) };
        if planned.contains(&here) {
            return Ok(true);
        }
        if self.protected.contains(&(stat.st_dev, stat.st_ino)) || self.protected_paths.contains(&here) {
            return Ok(false);
        }
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let skipped = self.filter.skips(path, &record.name, is_dir);
        if skipped || record.flags.found || record.flags.kept || is_dir != (record.kind == Kind::Dir) {
            return Ok(false);
        }
        let goes = if is_dir {
            self.remove_empty(dir, name, &here, planned).map_err(failed)?
        } else {
            is_left(dir, record, &stat).map_err(failed)?
        };
        if !goes {
            return Ok(false);
        }
        if self.request.options.dry_run {
            report.plan.push(format!("remove {}", shown(&here)));
            planned.insert(here);
        } else if !is_dir {
            note()?;
            dir.unlink(name).map_err(failed)?;
        }
        report.removed += 1;
        Ok(true)
    }

    /// Removes a directory, if nothing is in it; false where something is, in a dry run something that would stay.
    fn remove_empty(&self, dir: &Dir, name: &OsStr, path: &[u8], planned: &Planned) -> io::Result<bool> {
        if self.request.options.dry_run {
            let below = dir.open_dir(name)?;
            let stays = |(name, _): &(OsString, FileType)| !planned.contains(&join(path, name.as_bytes()));
            return Ok(below.is_on_mount_of(dir)? && !below.entries()?.iter().any(stays));
        }
        match dir.remove_dir(name) {
            Ok(()) => Ok(true),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Removes, or in a dry run lists, every entry of the destination that the source does not have.
    fn mirror(&self, planned: &mut Planned, note: &mut Before<'_>, report: &mut Report) -> Result<(), Error> {
        let plan = self.request.options.dry_run;
        let failed = |path: &[u8], e: io::Error| self.volume_error("remove", path, e);
        let open = || Ok::<_, io::Error>((self.source.reopen()?, self.destination.reopen()?));
        let (source, made) = open().map_err(|e| failed(b"", e))?;
        let mut todo = vec![(Some(source), made, Vec::new())];
        while let Some((source, made, path)) = todo.pop() {
            let before = report.removed;
            for (name, kind) in made.entries().map_err(|e| failed(&path, e))? {
                self.go_on()?;
                let bytes = name.as_bytes();
                let here = join(&path, bytes);
                let is_dir = kind == FileType::Directory;
                let reserved = path.is_empty() && (bytes == STATE.as_bytes() || bytes == b"lost+found");
                if reserved || self.protected_paths.contains(&here) || self.filter.skips(&path, bytes, is_dir)
                {
                    continue;
                }
                let Some(stat) = made.find(&name).map_err(|e| failed(&here, e))? else { continue };
                if self.protected.contains(&(stat.st_dev, stat.st_ino)) {
                    continue;
                }
                let image = source.as_ref().map_or(Ok(None), |source| source.find(&name));
                let image = image.map_err(|e| self.source_error("stat", &here, e))?;
                let image = image.map(|stat| FileType::from_raw_mode(stat.st_mode));
                match image {
                    None if self.holds_protected(&here) => {}
                    None if source.as_ref().is_some_and(|source| is_beside(source, bytes)) => {}
                    Some(FileType::Directory) | None
                        if is_dir && (image.is_some() || self.holds_skipped(&made, &name, &here)?) =>
                    {
                        let source = source.as_ref().filter(|_| image.is_some());
                        let source = source.map(|source| source.open_dir(&name)).transpose();
                        let next = source.and_then(|source| Ok((source, made.open_dir(&name)?)));
                        let (source, below) = next.map_err(|e| failed(&here, e))?;
                        if below.is_on_mount_of(&made).map_err(|e| failed(&here, e))? {
                            todo.push((source, below, here));
                        } else {
                            report.remarks.push(left_mount(&here));
                        }
                    }
                    Some(_) => {}
                    None => {
                        if plan {
                            report.plan.push(format!("remove {}", shown(&here)));
                            planned.insert(here);
                        } else {
                            note()?;
                            match made.remove_all(&name) {
                                Err(error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => {
                                    report.remarks.push(left_mount(&here));
                                    continue;
                                }
                                removed => removed.map_err(|e| failed(&here, e))?,
                            }
                        }
                        report.removed += 1;
                    }
                }
            }
            if report.removed > before && !plan && !path.is_empty() {
                self.mend_times(&made, source.as_ref(), &path)?;
            }
        }
        Ok(())
    }

    /// Whether anything in a directory of the volume, at any depth, is left out.
    fn holds_skipped(&self, made: &Dir, name: &OsStr, path: &[u8]) -> Result<bool, Error> {
        if self.filter.is_empty() {
            return Ok(false);
        }
        let failed = |e: io::Error| self.volume_error("list", path, e);
        let mut todo = vec![(made.open_dir(name).map_err(failed)?, path.to_vec())];
        while let Some((dir, path)) = todo.pop() {
            for (name, kind) in dir.entries().map_err(failed)? {
                let is_dir = kind == FileType::Directory;
                if self.filter.skips(&path, name.as_bytes(), is_dir) {
                    return Ok(true);
                }
                if is_dir {
                    todo.push((dir.open_dir(&name).map_err(failed)?, join(&path, name.as_bytes())));
                }
            }
        }
        Ok(false)
    }

    /// Whether one of the runner's own files is below this path.
    fn holds_protected(&self, path: &[u8]) -> bool {
        self.protected_paths
            .iter()
            .any(|p| p.len() > path.len() && p.starts_with(path) && p[path.len()] == b'/')
    }
}

/// Whether what a directory is in, or itself, would be gone.
fn is_planned(planned: &Planned, path: &[u8]) -> bool {
    !planned.is_empty()
        && std::iter::successors(Some(path), |path| parent(path)).any(|path| planned.contains(path))
}

fn left_mount(path: &[u8]) -> String {
    format!("{} is a mount, or holds one: not pruned", shown(path))
}

/// The image's version beside a file that the user changed.
fn is_beside(source: &Dir, name: &[u8]) -> bool {
    name.strip_suffix(b".from-image")
        .is_some_and(|of| matches!(source.find(OsStr::from_bytes(of)), Ok(Some(_))))
}

/// Whether the volume has what the last run left, read in full: it is about to be removed.
fn is_left(dir: &Dir, record: &Record<'_>, stat: &rustix::fs::Stat) -> io::Result<bool> {
    let Some((kind, size, _, _, content)) = record.as_left() else { return Ok(false) };
    debug_assert!(record.left != Left::Absent);
    let Ok(name) = CString::new(record.name.to_vec()) else { return Ok(false) };
    compare_content(dir, &name, kind, size, content, stat, &mut Vec::new())
}
