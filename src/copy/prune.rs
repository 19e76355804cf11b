//! Removing what the image does not have: what an earlier copy installed and nobody changed (`owned`), or everything
//! (`all`). Last of all, so that a copy that fails has removed nothing.

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr};
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
use super::path::{join, shown};
use super::report::Report;
use super::stage::STATE;
use crate::beneath::Dir;

/// Blocks that pruning changed; `None` for a directory that is gone.
pub(super) type Pruned = HashMap<Box<[u8]>, Option<Vec<u8>>>;

impl Engine<'_> {
    pub(super) fn prune(&self, sorted: &Sorted, report: &mut Report) -> Result<Pruned, Error> {
        let mut pruned = Pruned::new();
        if self.request.options.prune == Prune::None {
            return Ok(pruned);
        }
        let before = report.removed;
        let candidates: Vec<_> = sorted.directories().filter(|(_, orphans, _)| *orphans).collect();
        let (mut block, mut kept) = (Vec::new(), Vec::new());
        // From the last path to the first: what is in a directory goes before it.
        for (path, _, range) in candidates.into_iter().rev() {
            sorted.load(range, &self.old, &mut block).map_err(|e| self.manifest_error(e))?;
            if !records(&block).any(|record| record.flags.orphan) {
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
                    Some(dir) => self.prune_entry(dir, path, &record, report)?,
                };
                if !gone {
                    record.write(&mut kept);
                } else if record.kind == Kind::Dir {
                    pruned.insert(join(path, &record.name).into(), None);
                }
            }
            if let Some(dir) = dir.filter(|_| report.removed > before_dir && !path.is_empty()) {
                let source = self.source.open_dir(OsStr::from_bytes(path));
                self.mend_times(&dir, source.ok().as_ref(), path)?;
            }
            if kept != block {
                pruned.insert(path.into(), Some(kept.clone()));
            }
        }
        if self.request.options.prune == Prune::All {
            self.mirror(report, false)?;
        }
        if report.removed > before {
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

    /// Removes an entry that is no longer in the image if pruning may; true when it is gone.
    fn prune_entry(
        &self,
        dir: &Dir,
        path: &[u8],
        record: &Record<'_>,
        report: &mut Report,
    ) -> Result<bool, Error> {
        let name = OsStr::from_bytes(&record.name);
        let here = join(path, &record.name);
        let failed = |e: io::Error| self.volume_error("remove", &here, e);
        let Some(stat) = dir.find(name).map_err(failed)? else { return Ok(true) };
        if self.protected.contains(&(stat.st_dev, stat.st_ino)) || self.protected_paths.contains(&here) {
            return Ok(false);
        }
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if record.flags.found || record.flags.kept {
            return Ok(false);
        }
        if record.kind == Kind::Dir {
            if !is_dir {
                return Ok(false);
            }
            return match dir.remove_dir(name) {
                Ok(()) => {
                    report.removed += 1;
                    Ok(true)
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(false),
                    _ => Err(failed(error)),
                },
            };
        }
        if is_dir || !is_left(dir, record, &stat).map_err(failed)? {
            return Ok(false);
        }
        dir.unlink(name).map_err(failed)?;
        report.removed += 1;
        Ok(true)
    }

    /// Removes, or with `plan` lists, every entry of the destination that the source does not have.
    fn mirror(&self, report: &mut Report, plan: bool) -> Result<(), Error> {
        let failed = |path: &[u8], e: io::Error| self.volume_error("remove", path, e);
        let open = || Ok::<_, io::Error>((self.source.reopen()?, self.destination.reopen()?));
        let (source, made) = open().map_err(|e| failed(b"", e))?;
        let mut todo = vec![(source, made, Vec::new())];
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
                let image = source.find(&name).map_err(|e| self.source_error("stat", &here, e))?;
                match image.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                    Some(FileType::Directory) if is_dir => {
                        let next = || Ok::<_, io::Error>((source.open_dir(&name)?, made.open_dir(&name)?));
                        let (source, below) = next().map_err(|e| failed(&here, e))?;
                        if below.is_on_mount_of(&made).map_err(|e| failed(&here, e))? {
                            todo.push((source, below, here));
                        } else {
                            report.remarks.push(left_mount(&here));
                        }
                    }
                    Some(_) => {}
                    None if self.holds_protected(&here) || is_beside(&source, bytes) => {}
                    None => {
                        if plan {
                            report.plan.push(format!("remove {}", shown(&here)));
                        } else {
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
                self.mend_times(&made, Some(&source), &path)?;
            }
        }
        Ok(())
    }

    /// Whether one of the runner's own files is below this path.
    fn holds_protected(&self, path: &[u8]) -> bool {
        self.protected_paths
            .iter()
            .any(|p| p.len() > path.len() && p.starts_with(path) && p[path.len()] == b'/')
    }

    /// What pruning would remove, for a dry run.
    pub(super) fn plan_prune(&self, report: &mut Report) -> Result<(), Error> {
        match self.request.options.prune {
            Prune::None => Ok(()),
            Prune::All => self.mirror(report, true),
            Prune::Owned => self.plan_owned(report),
        }
    }

    fn plan_owned(&self, report: &mut Report) -> Result<(), Error> {
        let mut block = Vec::new();
        let mut planned = HashSet::new();
        // From the last path to the first: a directory goes when all that is in it goes.
        for at in (0..self.old.len()).rev() {
            let path = self.old.path(at);
            self.old.load(at, &mut block).map_err(|e| self.manifest_error(e))?;
            let source = match self.source.open_dir(OsStr::from_bytes(path)) {
                Ok(dir) => Some(dir),
                // Something else takes the directory's place, and all of it goes with it.
                Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOTDIR | Errno::LOOP)) => {
                    continue;
                }
                Err(_) => None,
            };
            let Some(made) = self.volume_dir(path)? else { continue };
            for record in records(&block) {
                let name = OsStr::from_bytes(&record.name);
                let here = join(path, &record.name);
                let in_image = source.as_ref().is_some_and(|dir| has_copied(dir, name));
                let skipped = self.filter.skips(path, &record.name, record.kind == Kind::Dir);
                if in_image || skipped || record.flags.found || record.flags.kept {
                    continue;
                }
                let failed = |e| self.volume_error("compare", &here, e);
                let Some(stat) = made.find(name).map_err(failed)? else { continue };
                let goes = if record.kind == Kind::Dir {
                    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                        && made
                            .open_dir(name)
                            .and_then(|dir| dir.entries())
                            .map_err(failed)?
                            .iter()
                            .all(|(name, _)| planned.contains(&join(&here, name.as_bytes())))
                } else {
                    is_left(&made, &record, &stat).map_err(failed)?
                };
                if goes {
                    report.plan.push(format!("remove {}", shown(&here)));
                    report.removed += 1;
                    planned.insert(here);
                }
            }
        }
        Ok(())
    }
}

/// Whether the image has something under the name that is copied.
fn has_copied(source: &Dir, name: &OsStr) -> bool {
    let kind = source.find(name).ok().flatten().map(|stat| FileType::from_raw_mode(stat.st_mode));
    matches!(kind, Some(FileType::RegularFile | FileType::Directory | FileType::Symlink))
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
