//! Removing what the image does not have: what an earlier copy of this owner installed and nobody changed (`owned`), or
//! everything (`all`). Last of all, so that a copy that fails has removed nothing. What another owner has stays, and so do
//! the runner's own files, wherever they are.

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt as _};

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;

use crate::copy::engine::Engine;
use crate::copy::error::Error;
use crate::copy::io::durable;
use crate::copy::io::metadata::{set_times, time_of};
use crate::copy::io::path::{beside, join, parent, shown};
use crate::copy::manifest::{Kind, Record, records, spill::Sorted};
use crate::copy::options::Prune;
use crate::copy::plan::compare::compare_content;
use crate::copy::plan::layers::Claims;
use crate::copy::plan::spelling::{Listed, fold, pairs};
use crate::copy::publish::replace::open_up;
use crate::copy::report::Report;
use crate::copy::state::{STATE, is_caseless};
use crate::support::rooted_dir::Dir;

/// What a dry run has found out would go.
type Planned = HashSet<Vec<u8>>;

/// Called before anything is removed.
type Before<'a> = dyn FnMut() -> Result<(), Error> + 'a;

/// What pruning changed.
#[derive(Debug, Default)]
pub(in crate::copy) struct Pruned {
    /// Blocks of the manifest; `None` for a directory that is gone.
    pub(in crate::copy) blocks: HashMap<Box<[u8]>, Option<Vec<u8>>>,
    /// Something was about to be removed, and that was noted.
    pub(in crate::copy) is_noted: bool,
}

/// What goes along while a tree is pruned.
struct Going<'a> {
    planned: Planned,
    note: &'a mut Before<'a>,
    report: &'a mut Report,
}

/// A directory that is mirrored: what there is of it in the source, and on the volume.
struct Mirrored<'a> {
    source: Option<Dir>,
    made: &'a Dir,
    path: &'a [u8],
}

impl Engine<'_> {
    /// Prunes, or in a dry run lists what that would remove.
    pub(in crate::copy) fn prune(&self, sorted: &Sorted, report: &mut Report) -> Result<Pruned, Error> {
        let dry_run = self.request.options.dry_run;
        let mut pruned = Pruned::default();
        let prune = self.request.options.prune;
        if prune == Prune::None || dry_run && self.created_root {
            return Ok(pruned);
        }
        let before = report.removed;
        let is_noted = &mut pruned.is_noted;
        let mut note = || {
            let first = !dry_run && !std::mem::replace(is_noted, true);
            if first { self.note_pruning(sorted) } else { Ok(()) }
        };
        let mut going = Going { planned: Planned::new(), note: &mut note, report };
        // First, as a record of what that took has nothing to stand for any more.
        if prune == Prune::All && self.single.is_none() {
            self.mirror(&mut going)?;
        }
        let spellings = Spellings::of(self, sorted)?;
        let mut blocks = HashMap::new();
        let candidates: Vec<_> = sorted.directories().filter(|(_, orphans, _)| *orphans).collect();
        let mut block = Vec::new();
        // From the last path to the first: what is in a directory goes before it.
        for (path, _, range) in candidates.into_iter().rev() {
            sorted.load(range, &self.old, &mut block).map_err(|e| self.manifest_error(e))?;
            if self.filter.skips_below(path) || !records(&block).any(|record| record.flags.orphan) {
                continue;
            }
            self.prune_block(path, &block, &spellings, &mut going, &mut blocks)?;
        }
        if going.report.removed > before && !dry_run {
            durable::sync(&self.destination).map_err(|e| self.volume_error("sync", b"", e))?;
        }
        pruned.blocks = blocks;
        Ok(pruned)
    }

    fn prune_block(
        &self,
        path: &[u8],
        block: &[u8],
        spellings: &Spellings,
        going: &mut Going<'_>,
        blocks: &mut HashMap<Box<[u8]>, Option<Vec<u8>>>,
    ) -> Result<(), Error> {
        let dir = self.volume_dir(path)?;
        let claims = self.layers.directory(path).map_err(|e| self.manifest_error(e))?;
        let before = going.report.removed;
        let mut kept = Vec::new();
        for record in records(block) {
            self.go_on()?;
            let gone = match &dir {
                _ if !record.flags.orphan => false,
                None => true,
                Some(_) if is_planned(&going.planned, path) => true,
                // On this volume it is another spelling of what the image has.
                Some(_) if spellings.has(path, &record.name) => true,
                Some(dir) => self.prune_entry(dir, path, &record, &claims, going)?,
            };
            if !gone {
                record.write(&mut kept);
            } else if record.kind == Kind::Dir {
                blocks.insert(join(path, &record.name).into(), None);
            }
        }
        let removed = going.report.removed > before && !path.is_empty() && !self.request.options.dry_run;
        if let Some(dir) = dir.filter(|_| removed) {
            let source = self.source.open_dir(OsStr::from_bytes(path));
            self.mend_times(&dir, source.ok().as_ref(), path)?;
        }
        if kept != block {
            blocks.insert(path.into(), Some(kept));
        }
        Ok(())
    }

    /// Removing an entry changed the directory's mtime: it gets the image's, if it is one of the image's.
    fn mend_times(&self, dir: &Dir, source: Option<&Dir>, path: &[u8]) -> Result<(), Error> {
        let Some(source) = source else { return Ok(()) };
        let stat = source.stat().map_err(|e| self.source_error("stat", path, e))?;
        set_times(dir, time_of(&stat)).map_err(|e| self.volume_error("complete", path, e))
    }

    /// Opens a directory of the destination; `None` where it is not there, or not a directory.
    pub(in crate::copy) fn volume_dir(&self, path: &[u8]) -> Result<Option<Dir>, Error> {
        let rel = OsStr::from_bytes(path);
        let opened = if self.request.options.follow_destination_links {
            Dir::open(self.to.join(rel))
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
        claims: &Claims,
        going: &mut Going<'_>,
    ) -> Result<bool, Error> {
        let name = OsStr::from_bytes(&record.name);
        let here = join(path, &record.name);
        let failed = |e: io::Error| self.volume_error("remove", &here, e);
        let Some(stat) = dir.find(name).map_err(failed)? else { return Ok(true) };
        if going.planned.contains(&here) {
            return Ok(true);
        }
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let as_left = |record| is_left(dir, record, &stat).map_err(failed);
        if claims.has(&record.name) {
            // The other owner's from now on, but as long as it is what this one left.
            let is_left = is_dir || as_left(record)?;
            if is_left && !claims.has_same(record) {
                going.report.given_back.push(shown(&here));
            }
            return Ok(!is_left);
        }
        let stays = self.protected.is_inode(&stat)
            || self.protected.is_path(&here)
            || self.filter.skips(path, &record.name, is_dir)
            || record.flags.found
            || record.flags.kept
            || is_dir != (record.kind == Kind::Dir);
        if stays || !is_dir && !as_left(record)? {
            return Ok(false);
        }
        if is_dir && self.request.options.dry_run {
            let below = dir.open_dir(name).map_err(failed)?;
            let stays =
                |(name, _): &(OsString, FileType)| !going.planned.contains(&join(&here, name.as_bytes()));
            if !below.is_on_mount_of(dir).map_err(failed)?
                || below.entries().map_err(failed)?.iter().any(stays)
            {
                return Ok(false);
            }
        }
        let removed = self.remove(dir, name, &here, is_dir, going)?;
        if removed && !is_dir {
            self.remove_beside(dir, path, record, going)?;
        }
        Ok(removed)
    }

    /// Removes the image's version that a conflict put beside an entry which is gone, unless somebody has changed it.
    fn remove_beside(
        &self,
        dir: &Dir,
        path: &[u8],
        record: &Record<'_>,
        going: &mut Going<'_>,
    ) -> Result<(), Error> {
        let Ok(name) = CString::new(&*record.name) else { return Ok(()) };
        let beside = beside(&name, ".from-image");
        let here = join(path, beside.to_bytes());
        let at = OsStr::from_bytes(beside.to_bytes());
        let failed = |e: io::Error| self.volume_error("remove", &here, e);
        let Some(stat) = dir.find(at).map_err(failed)? else { return Ok(()) };
        let (kind, size, content) = (record.kind, record.size, &record.content);
        let same =
            compare_content(dir, &beside, kind, size, content, &stat, &mut Vec::new()).map_err(failed)?;
        if same { self.remove(dir, at, &here, false, going).map(drop) } else { Ok(()) }
    }

    /// Removes an entry, or in a dry run lists it; false where it stays: a directory that is not empty, or what the volume
    /// does not let go.
    fn remove(
        &self,
        dir: &Dir,
        name: &OsStr,
        path: &[u8],
        is_dir: bool,
        going: &mut Going<'_>,
    ) -> Result<bool, Error> {
        if self.request.options.dry_run {
            going.report.plan.push(format!("remove {}", shown(path)));
            going.planned.insert(path.to_vec());
            going.report.removed += 1;
            return Ok(true);
        }
        if !is_dir {
            (going.note)()?;
        }
        let remove = || if is_dir { dir.remove_dir(name) } else { dir.unlink(name) };
        let mut removed = remove();
        if removed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
            && let Some(mode) = open_up(dir)
        {
            // A read-only directory of our own: opened for the time of this.
            removed = remove();
            let _ = rustix::fs::fchmod(dir, Mode::from_raw_mode(mode));
        }
        match removed {
            Ok(()) => {
                going.report.removed += 1;
                going.report.changes.push(path, "removed", "not in the source");
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT) => {}
                Some(Errno::NOTEMPTY | Errno::EXIST) if is_dir => return Ok(false),
                // A mount, a snapshot, an immutable file: read-only in itself.
                Some(Errno::BUSY | Errno::ROFS | Errno::PERM | Errno::ACCESS) => {
                    going.report.remarks.push(format!("{} cannot be removed, and stays", shown(path)));
                    return Ok(false);
                }
                _ => return Err(self.volume_error("remove", path, error)),
            },
        }
        Ok(true)
    }

    /// Removes, or in a dry run lists, every entry of the destination that the source does not have.
    fn mirror(&self, going: &mut Going<'_>) -> Result<(), Error> {
        let failed = |e: io::Error| self.volume_error("remove", b"", e);
        let source = self.source.reopen().map_err(failed)?;
        let made = self.destination.reopen().map_err(failed)?;
        // A stack of its own, as the tree may be deeper than the thread's.
        let mut todo = vec![Step::Into { source: Some(source), made, path: Vec::new() }];
        while let Some(step) = todo.pop() {
            self.go_on()?;
            match step {
                Step::Into { source, made, path } => {
                    let below = self.mirror_one(&Mirrored { source, made: &made, path: &path }, going)?;
                    todo.extend(below);
                }
                Step::Remove { parent, name, path } => {
                    let stays = |e| self.volume_error("remove", &path, e);
                    if self.request.options.dry_run {
                        let below = parent.open_dir(&name).and_then(|dir| dir.entries()).map_err(stays)?;
                        if below
                            .iter()
                            .any(|(name, _)| !going.planned.contains(&join(&path, name.as_bytes())))
                        {
                            continue;
                        }
                    }
                    self.remove(&parent, &name, &path, true, going)?;
                }
            }
        }
        Ok(())
    }

    /// Mirrors the entries of one directory but for its subdirectories, and answers the steps for those, the last first.
    fn mirror_one(&self, here: &Mirrored<'_>, going: &mut Going<'_>) -> Result<Vec<Step>, Error> {
        let failed = |path: &[u8], e: io::Error| self.volume_error("remove", path, e);
        let entries = match here.made.entries() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                going.report.remarks.push(format!("{} cannot be listed, and stays", shown(here.path)));
                return Ok(Vec::new());
            }
            entries => entries.map_err(|e| failed(here.path, e))?,
        };
        let claims = self.layers.directory(here.path).map_err(|e| self.manifest_error(e))?;
        let logs = logs_of(here.made).map_err(|e| failed(here.path, e))?;
        let before = going.report.removed;
        let mut steps = Vec::new();
        let spelled = spellings(here).map_err(|e| failed(here.path, e))?;
        for (name, kind) in entries {
            // As the source has it.
            let spelling = spelled.get(name.as_bytes()).map_or(&*name, |name| OsStr::from_bytes(name));
            let bytes = spelling.as_bytes();
            let path = join(here.path, bytes);
            let is_dir = kind == FileType::Directory;
            let Some(stat) = here.made.find(&name).map_err(|e| failed(&path, e))? else { continue };
            let reserved = bytes == STATE.as_bytes()
                || here.path.is_empty() && bytes == b"lost+found"
                || logs.contains(&name)
                || self.protected.is_inode(&stat)
                || self.protected.is_path(&path);
            if reserved || self.filter.skips(here.path, bytes, is_dir) {
                continue;
            }
            let image = here.source.as_ref().map_or(Ok(None), |source| source.find(spelling));
            let image = image.map_err(|e| self.source_error("stat", &path, e))?;
            let stays = image.is_some()
                || claims.has(bytes)
                || here.source.as_ref().is_some_and(|source| is_beside(source, bytes));
            if is_dir {
                steps.extend(self.mirror_below(here, (&name, spelling), &path, (stays, image), going)?);
            } else if !stays {
                self.remove(here.made, &name, &path, false, going)?;
            }
        }
        if going.report.removed > before && !self.request.options.dry_run && !here.path.is_empty() {
            self.mend_times(here.made, here.source.as_ref(), here.path)?;
        }
        Ok(steps)
    }

    /// The steps for a subdirectory: into it, and its own removal after that, unless it stays.
    fn mirror_below(
        &self,
        here: &Mirrored<'_>,
        (name, spelling): (&OsStr, &OsStr),
        path: &[u8],
        (stays, image): (bool, Option<Stat>),
        going: &mut Going<'_>,
    ) -> Result<Vec<Step>, Error> {
        let failed = |e: io::Error| self.volume_error("remove", path, e);
        let in_image = image.is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        // A link that leads to a directory of the image is no directory of the image.
        if image.is_some() && !in_image {
            return Ok(Vec::new());
        }
        let below = match here.made.open_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                going.report.remarks.push(format!("{} cannot be opened, and stays", shown(path)));
                return Ok(Vec::new());
            }
            below => below.map_err(failed)?,
        };
        if !below.is_on_mount_of(here.made).map_err(failed)? {
            going.report.remarks.push(format!("{} is a mount, or holds one: not pruned", shown(path)));
            return Ok(Vec::new());
        }
        // Another destination: whatever is in it is pruned by its own copies.
        if below.find(STATE).map_err(failed)?.is_some() {
            return Ok(Vec::new());
        }
        let source = here.source.as_ref().filter(|_| in_image).map(|source| source.open_dir(spelling));
        let source = source.transpose().map_err(failed)?;
        let mut steps = Vec::new();
        if !stays {
            let parent = here.made.reopen().map_err(failed)?;
            steps.push(Step::Remove { parent, name: name.to_owned(), path: path.to_vec() });
        }
        steps.push(Step::Into { source, made: below, path: path.to_vec() });
        Ok(steps)
    }
}

/// What is to be done while a tree is mirrored.
enum Step {
    Into { source: Option<Dir>, made: Dir, path: Vec<u8> },
    Remove { parent: Dir, name: OsString, path: Vec<u8> },
}

/// Names of a directory of the volume that the source spells otherwise, with its spelling.
fn spellings(here: &Mirrored<'_>) -> io::Result<HashMap<Vec<u8>, Vec<u8>>> {
    let Some(source) = &here.source else { return Ok(HashMap::new()) };
    let names = |dir: &Dir| -> io::Result<HashSet<Vec<u8>>> {
        Ok(dir.entries()?.into_iter().map(|(name, _)| name.into_vec()).collect())
    };
    let (source, volume) = (names(source)?, names(here.made)?);
    let only = |these: &HashSet<Vec<u8>>, those: &HashSet<Vec<u8>>| -> Vec<Vec<u8>> {
        these.iter().filter(|name| !those.contains(*name)).cloned().collect()
    };
    let (ones, others) = (only(&source, &volume), only(&volume, &source));
    let (ones, others): (Vec<&[u8]>, Vec<&[u8]>) =
        (ones.iter().map(|name| &**name).collect(), others.iter().map(|name| &**name).collect());
    let pairs = pairs(&ones, &others, &Listed::of(here.made)?)?;
    Ok(pairs.into_iter().map(|(source, volume)| (volume.to_vec(), source.to_vec())).collect())
}

/// The logs that histories in a directory's state name.
fn logs_of(dir: &Dir) -> io::Result<Vec<OsString>> {
    let Ok(state) = dir.open_dir(STATE) else { return Ok(Vec::new()) };
    // Version 0.1 had one history, of whichever log: the default name's most likely.
    let mut logs = vec![OsString::from("post-hook-output.txt")];
    if let Ok(histories) = state.open_dir("histories") {
        logs.extend(histories.entries()?.into_iter().map(|(name, _)| name));
    }
    Ok(logs)
}

/// Whether what a directory is in, or itself, would be gone.
fn is_planned(planned: &Planned, path: &[u8]) -> bool {
    !planned.is_empty()
        && std::iter::successors(Some(path), |path| parent(path)).any(|path| planned.contains(path))
}

/// The image's version beside a file that the user changed.
fn is_beside(source: &Dir, name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let Some(at) = text.rfind(".from-image") else { return false };
    let rest = &text[at + ".from-image".len()..];
    let is_suffix = rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok());
    is_suffix && matches!(source.find(&text[..at]), Ok(Some(_)))
}

/// Whether the volume has what the last run left, read in full: it is about to be removed.
fn is_left(dir: &Dir, record: &Record<'_>, stat: &Stat) -> io::Result<bool> {
    let Some((kind, size, _, _, content)) = record.as_left() else { return Ok(false) };
    let Ok(name) = CString::new(record.name.to_vec()) else { return Ok(false) };
    compare_content(dir, &name, kind, size, content, stat, &mut Vec::new())
}

/// What the image has, as a volume sees it that does not tell upper from lower case. Empty on any other.
#[derive(Debug, Default)]
struct Spellings(HashMap<String, HashSet<String>>);

impl Spellings {
    fn of(engine: &Engine<'_>, sorted: &Sorted) -> Result<Self, Error> {
        let mut all = Self::default();
        if !is_caseless(&engine.destination) {
            return Ok(all);
        }
        let mut block = Vec::new();
        for (path, _, range) in sorted.directories() {
            sorted.load(range, &engine.old, &mut block).map_err(|e| engine.manifest_error(e))?;
            let names = records(&block).filter(|record| !record.flags.orphan);
            all.0.entry(fold(path)).or_default().extend(names.map(|record| fold(&record.name)));
        }
        Ok(all)
    }

    fn has(&self, path: &[u8], name: &[u8]) -> bool {
        self.0.get(&fold(path)).is_some_and(|names| names.contains(&fold(name)))
    }
}
