//! Several copiers on one volume, `I/N` each: a directory of the image belongs to the one that the hash of its path
//! says, with the files in it. They need nothing of each other: each stages for itself, makes missing directories
//! in place, and writes its part of the manifest. The one that finds all parts there puts them together.

use std::ffi::{CStr, OsStr, OsString};
use std::io;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::Request;
use super::engine::{Engine, Worker};
use super::error::Error;
use super::listing::Listing;
use super::manifest::{self, Kind, Manifest, Reading, records};
use super::metadata::set_times_at;
use super::options::Shard;
use super::pool::Pool;
use super::report::Report;
use super::walk::Here;
use crate::beneath::Dir;

fn owner(path: &[u8], count: u32) -> u32 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(path).as_bytes()[..8]);
    // The remainder is below `count`.
    u32::try_from(u64::from_le_bytes(first) % u64::from(count)).unwrap_or(0)
}

/// The name of staging: the attempt's, and the shard's.
pub(super) fn stage_name(request: &Request) -> String {
    let run: String = request
        .run
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
        .collect();
    let run = if run.is_empty() { "copy" } else { &run };
    match request.options.shard {
        None => format!("{run:.150}.run"),
        Some(shard) => format!("{run:.150}.{}", tag(shard)),
    }
}

fn tag(shard: Shard) -> String {
    format!("shard-{}-of-{}", shard.index, shard.count)
}

/// Whether staging of this name is left over: a shard clears only its own, the others may be at work.
pub(super) fn is_leftover(request: &Request, name: &[u8]) -> bool {
    match request.options.shard {
        None => true,
        Some(shard) => name.ends_with(format!(".{}", tag(shard)).as_bytes()),
    }
}

fn group(request: &Request) -> String {
    blake3::hash(request.group.as_bytes()).to_hex()[..16].to_owned()
}

/// The manifest that a copy writes: the whole one, or this shard's part of it.
pub(super) fn part_name(name: &OsStr, request: &Request) -> OsString {
    request.options.shard.map_or_else(|| name.to_owned(), |shard| part(name, &group(request), shard))
}

fn part(name: &OsStr, group: &str, shard: Shard) -> OsString {
    let mut part = name.to_owned();
    part.push(format!(".part-{group}-{}-of-{}", shard.index, shard.count));
    part
}

/// The manifest to compare with: a shard that starts again compares with the part that it had written.
pub(super) fn base(dir: &Dir, name: &OsStr, request: &Request) -> io::Result<Reading> {
    if request.options.shard.is_some()
        && let Reading::Read(part) = Manifest::read(dir, &part_name(name, request))?
    {
        return Ok(Reading::Read(part));
    }
    Manifest::read(dir, name)
}

impl Engine<'_> {
    /// Whether the entries of this directory are this copy's.
    pub(super) fn owns(&self, path: &[u8]) -> bool {
        self.request.options.shard.is_none_or(|shard| owner(path, shard.count) == shard.index)
    }

    /// Whether the volume has something under the name in a directory that is another shard's.
    pub(super) fn is_there(&self, here: &Here<'_>, name: &CStr) -> Result<bool, Error> {
        let made = match here.node.made() {
            Ok(made) => made,
            Err(_) if self.request.options.dry_run => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.volume_error("open", here.path, error)),
        };
        match rustix::fs::statat(&*made, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.volume_error("stat", &here.child(name), errno)),
        }
    }

    /// Whether a directory below another has to be made by this shard and no other: it is its own, and there is none
    /// below it. Then it is built in staging, as without shards.
    pub(super) fn is_mine_alone(
        &self,
        worker: &mut Worker,
        here: &Here<'_>,
        name: &CStr,
    ) -> Result<bool, Error> {
        let path = here.child(name);
        if !self.owns(&path) {
            return Ok(false);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut below = Listing::default();
        rustix::fs::openat(here.source, name, flags, Mode::empty())
            .and_then(|dir| below.read(&dir, &mut worker.dirents))
            .map_err(|e| self.source_error("list", &path, e))?;
        Ok((0..below.len()).all(|at| below.get(at).1 != FileType::Directory))
    }
}

/// Puts the parts together if all are there; the times of directories come last, as shards make directories in
/// each other's.
pub(super) fn merge(engine: &Engine<'_>, report: &mut Report) -> Result<(), Error> {
    let Some(shard) = engine.request.options.shard else { return Ok(()) };
    let dir = engine.manifests()?;
    let failed = |e: io::Error| engine.manifest_error(e);
    let name = &engine.manifest_name;
    let mut lock_name = name.clone();
    lock_name.push(".merge");
    let lock = dir.open_with(&lock_name, OFlags::RDWR | OFlags::CREATE, 0o640).map_err(failed)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
    let group = group(engine.request);
    let mut parts = Vec::new();
    for index in 0..shard.count {
        match Manifest::read(&dir, &part(name, &group, Shard { index, count: shard.count }))
            .map_err(failed)?
        {
            Reading::Read(part) => parts.push(part),
            // The last one to finish will find them all.
            _ => return Ok(()),
        }
    }
    let mut order: Vec<(&[u8], usize, usize)> = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        order.extend((0..part.len()).map(|at| (part.path(at), n, at)));
    }
    order.sort_unstable();
    order.dedup_by(|a, b| a.0 == b.0);
    let blocks = order.iter().map(|&(path, n, at)| {
        let mut block = Vec::new();
        parts[n].load(at, &mut block)?;
        Ok((Box::from(path), block))
    });
    manifest::write(&dir, name, blocks).map_err(failed)?;
    times(engine, &order, &parts)?;
    for (entry, _) in dir.entries().map_err(failed)? {
        use std::os::unix::ffi::OsStrExt;
        let prefix = [name.as_bytes(), b".part-"].concat();
        if entry.as_bytes().starts_with(&prefix) {
            dir.remove_all(&entry).map_err(failed)?;
        }
    }
    report.remarks.push(format!("the parts of {} copiers were put together", shard.count));
    Ok(())
}

/// Sets the mtime of every directory that has directories in it: others' shards may have made one there after its own
/// had set it. A directory's own time is not touched by setting its children's.
fn times(engine: &Engine<'_>, order: &[(&[u8], usize, usize)], parts: &[Manifest]) -> Result<(), Error> {
    use std::os::unix::ffi::OsStrExt;
    let has_below = |path: &[u8]| {
        let next = order.partition_point(|(other, ..)| *other < path);
        order.get(next).is_some_and(|(other, ..)| other.starts_with(path))
    };
    let pool = Pool::new(order.to_vec());
    pool.run(vec![Vec::new(); engine.worker_count()], |block, (path, n, at)| {
        parts[n].load(at, block).map_err(|e| engine.manifest_error(e))?;
        let mut opened = None;
        for record in records(block).filter(|r| r.kind == Kind::Dir && !r.flags.orphan && !r.flags.kept) {
            let prefix: &[u8] = if path.is_empty() { b"" } else { b"/" };
            // A link that is followed to where the directory is keeps its own time.
            if record.flags.found && engine.request.options.follow_destination_links {
                continue;
            }
            if !has_below(&[path, prefix, &*record.name, b"/"].concat()) {
                continue;
            }
            let dir = match &opened {
                Some(dir) => dir,
                None => match engine.destination.open_dir(OsStr::from_bytes(path)) {
                    Ok(dir) => opened.insert(dir),
                    Err(_) => return Ok(()),
                },
            };
            match set_times_at(dir, OsStr::from_bytes(&record.name), record.mtime) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(engine.volume_error("complete", path, error));
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    engine.destination.sync_filesystem().map_err(|e| engine.volume_error("sync", b"", e))
}
