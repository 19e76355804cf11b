//! Several copiers on one volume, `I/N` each, of which each has a share of the image's entries (see `share`). They need
//! nothing of each other: each stages for itself, makes the directories that it shares with others in place, and
//! writes its part of the manifest, in which a shared directory has the records of this copier's entries. The one that
//! finds all parts there puts them together.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{FileType, FlockOperation, OFlags};

use crate::copy::Request;
use crate::copy::engine::{Engine, Task, Worker};
use crate::copy::error::Error;
use crate::copy::io::listing::Listing;
use crate::copy::io::metadata::set_times_at;
use crate::copy::io::path::join;
use crate::copy::io::pool::Pool;
use crate::copy::manifest::{self, Kind, Manifest, Reading, records};
use crate::copy::options::Shard;
use crate::copy::plan::entry::Here;
use crate::copy::report::Report;
use crate::copy::shard::partition::Shares;
use crate::copy::stage::node::{Node, Target};
use crate::copy::state::State;
use crate::support::mutex;
use crate::support::rooted_dir::Dir;

/// The name of staging: the owner's, and the shard's.
pub(in crate::copy) fn stage_name(owner: &OsStr, request: &Request) -> String {
    let owner = owner.to_string_lossy();
    match request.options.shard {
        None => owner.into_owned(),
        Some(shard) => format!("{owner}.{}", tag(shard)),
    }
}

fn tag(shard: Shard) -> String {
    format!("shard-{}-of-{}", shard.index, shard.count)
}

fn group(request: &Request) -> String {
    blake3::hash(request.group.as_bytes()).to_hex()[..16].to_owned()
}

/// The manifest that a copy writes: the whole one, or this shard's part of it.
pub(in crate::copy) fn part_name(name: &OsStr, request: &Request, shares: Option<&Shares>) -> OsString {
    let (Some(shard), Some(shares)) = (request.options.shard, shares) else { return name.to_owned() };
    part(name, &group(request), shares, shard)
}

fn part(name: &OsStr, group: &str, shares: &Shares, shard: Shard) -> OsString {
    let mut part = name.to_owned();
    part.push(format!(".part-{group}-{}-{}-of-{}", shares.listing, shard.index, shard.count));
    part
}

/// The manifest to compare with: a shard that starts again compares with the part that it had written.
pub(in crate::copy) fn base(
    state: &State,
    name: &OsStr,
    request: &Request,
    shares: Option<&Shares>,
) -> io::Result<Reading> {
    if shares.is_some()
        && let Reading::Read(part) = Manifest::read(&state.journal, &part_name(name, request, shares))?
    {
        return Ok(Reading::Read(part));
    }
    Manifest::read(&state.manifests, name)
}

/// What begins the name of every part, and of what is noted of one.
fn prefix(name: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b".part-"].concat()
}

/// The parts, and notes, that no copier of this run wrote that copies this image.
pub(in crate::copy) fn parts_of_others(
    dir: &Dir,
    name: &OsStr,
    request: &Request,
    shares: Option<&Shares>,
) -> io::Result<Vec<OsString>> {
    let prefix = prefix(name);
    let ours = |entry: &[u8]| {
        let (Some(shard), Some(shares)) = (request.options.shard, shares) else { return false };
        let entry = entry.strip_suffix(b".next").unwrap_or(entry);
        entry.starts_with(format!("{}-{}-", group(request), shares.listing).as_bytes())
            && entry.ends_with(format!("-of-{}", shard.count).as_bytes())
    };
    let is_others = |entry: &OsString| {
        let rest = entry.as_bytes().strip_prefix(&*prefix);
        rest.is_some_and(|rest| !rest.ends_with(b".new") && !ours(rest))
    };
    Ok(dir.entries()?.into_iter().map(|(entry, _)| entry).filter(is_others).collect())
}

/// Removes the parts of all copiers, as the manifest in force says what they say.
pub(in crate::copy) fn remove_parts(dir: &Dir, name: &OsStr) -> io::Result<()> {
    let prefix = prefix(name);
    for (entry, _) in dir.entries()? {
        if entry.as_bytes().starts_with(&prefix) {
            dir.remove_all(&entry)?;
        }
    }
    Ok(())
}

impl Engine<'_> {
    /// Whether an entry of a directory is this copy's.
    pub(in crate::copy) fn is_mine(&self, here: &Here<'_>, name: &[u8], is_dir: bool) -> bool {
        let shares = self.shares.as_ref().filter(|_| here.node.shared);
        shares.is_none_or(|shares| shares.is_mine(here.path, name, is_dir))
    }

    /// Whether several copiers go through a subdirectory.
    pub(in crate::copy) fn is_shared(&self, here: &Here<'_>, name: &CStr) -> bool {
        let shares = self.shares.as_ref().filter(|_| here.node.shared);
        shares.is_some_and(|shares| shares.is_shared(&here.child(name)))
    }

    /// Whether this copy has to go into a shared directory on the volume: something in it is this copy's, or another
    /// shared directory that something may be in the way of.
    pub(in crate::copy) fn has_some(&self, path: &[u8], node: &Node, listing: &Listing) -> bool {
        let Some(shares) = &self.shares else { return true };
        !node.others
            || (0..listing.len()).any(|at| {
                let (name, kind) = listing.get(at);
                let is_dir = kind == FileType::Directory;
                shares.is_mine(path, name.to_bytes(), is_dir)
                    || is_dir && shares.is_shared(&join(path, name.to_bytes()))
            })
    }

    /// What is below a directory is dealt with later; a piece when all shared directories are known.
    pub(in crate::copy) fn descend(&self, worker: &mut Worker, here: &Here<'_>, mut child: Node) {
        child.shared = !child.aside && self.is_shared(here, &child.name);
        child.in_place = child.shared && !self.request.options.dry_run && child.target == Target::Existing;
        let weight = match &self.shares {
            Some(shares) if here.node.shared && !child.shared => shares.weight(&here.child(&child.name)),
            _ => return worker.tasks.push(Task::Dir(Arc::new(child))),
        };
        mutex::lock(&self.pieces).push((weight, Arc::new(child)));
    }
}

/// What one of several copiers does while the others do not.
pub(in crate::copy) fn lock(engine: &Engine<'_>) -> io::Result<File> {
    let state = engine.state.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let mut name = engine.manifest_name.clone();
    name.push(".merge");
    let lock = state.journal.open_for_group(&name, OFlags::RDWR)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

/// Puts the parts together if all are there; the times of shared directories come last, as any shard may have made
/// something in one after its own had set it.
pub(in crate::copy) fn merge(engine: &Engine<'_>, report: &mut Report) -> Result<(), Error> {
    let (Some(shard), Some(shares)) = (engine.request.options.shard, &engine.shares) else { return Ok(()) };
    let dir = engine.journal()?;
    let failed = |e: io::Error| engine.manifest_error(e);
    let name = &engine.manifest_name;
    let _lock = lock(engine).map_err(failed)?;
    let group = group(engine.request);
    let names: Vec<OsString> = (0..shard.count)
        .map(|index| part(name, &group, shares, Shard { index, count: shard.count }))
        .collect();
    let there: Vec<OsString> = dir.entries().map_err(failed)?.into_iter().map(|(entry, _)| entry).collect();
    // A part of this copier's own that says what an image was like that it copied before: a note from now on.
    for entry in others(&there, name, &group).filter(|other| other.index == shard.index) {
        if *entry.name != names[shard.index as usize] {
            let mut note = entry.name.to_owned();
            note.push(".next");
            dir.rename(entry.name, dir, &note).map_err(failed)?;
        }
    }
    if !names.iter().all(|name| there.contains(name)) {
        // The last one to finish will find them all, unless some copied something else.
        report.remarks.extend(told_apart(&there, name, &group, &names));
        return Ok(());
    }
    let mut parts = Vec::new();
    for name in &names {
        let Reading::Read(part) = Manifest::read(dir, name).map_err(failed)? else { return Ok(()) };
        parts.push(part);
    }
    let mut order: Vec<Piece<'_>> = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        order.extend((0..part.len()).map(|at| (part.path(at), n, at)));
    }
    order.sort_unstable();
    let blocks = order.chunk_by(|a, b| a.0 == b.0).map(|pieces| {
        let mut block = Vec::new();
        together(pieces, &parts, &mut block)?;
        Ok((Box::from(pieces[0].0), block))
    });
    let state = engine.state.as_ref().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    manifest::write(&state.manifests, name, &engine.head(), blocks).map_err(failed)?;
    times(engine, shares, &order, &parts)?;
    manifest::touch(&state.manifests, name);
    remove_parts(dir, name).map_err(failed)?;
    report.remarks.push(format!("the parts of {} copiers were put together", shard.count));
    Ok(())
}

/// A part of the manifest that a copier of this run wrote, of whatever it copied.
struct Part<'a> {
    name: &'a OsStr,
    index: u32,
}

/// The parts of a run's copiers, complete ones.
fn others<'a>(there: &'a [OsString], name: &OsStr, group: &str) -> impl Iterator<Item = Part<'a>> {
    let prefix = [name.as_bytes(), b".part-", group.as_bytes(), b"-"].concat();
    there.iter().filter_map(move |entry| {
        // `LISTING-INDEX-of-COUNT`, as `part` makes them.
        let rest = std::str::from_utf8(entry.as_bytes().strip_prefix(&*prefix)?).ok()?;
        let (_, (index, count)) =
            rest.split_once('-').map(|(l, rest)| Some((l, rest.split_once("-of-")?)))??;
        count.parse::<u32>().ok()?;
        Some(Part { name: entry, index: index.parse().ok()? })
    })
}

/// A sentence about copiers of this run that copied something else, once every other one has finished.
fn told_apart(there: &[OsString], name: &OsStr, group: &str, names: &[OsString]) -> Option<String> {
    let of = |index: usize| others(there, name, group).any(|part| part.index as usize == index);
    let apart = (0..names.len()).filter(|at| !there.contains(&names[*at])).collect::<Vec<_>>();
    apart.iter().all(|index| of(*index)).then(|| {
        let apart: Vec<_> = apart.iter().map(|index| format!("{index}/{}", names.len())).collect();
        format!(
            "of this run, {} copied another image than this one, or with other filters: there is no manifest of \
             what they installed; run all of them again, from one image",
            apart.join(", ")
        )
    })
}

/// A directory's path, and the block of it in one of the parts.
type Piece<'a> = (&'a [u8], usize, usize);

/// The records of a directory, those of a shared one from several parts.
fn together(pieces: &[Piece<'_>], parts: &[Manifest], into: &mut Vec<u8>) -> io::Result<()> {
    if let [(_, n, at)] = pieces {
        return parts[*n].load(*at, into);
    }
    let (mut all, mut block) = (Vec::new(), Vec::new());
    for (_, n, at) in pieces {
        parts[*n].load(*at, &mut block)?;
        all.extend_from_slice(&block);
    }
    manifest::join(&all, into);
    Ok(())
}

/// Sets the mtime of every shared directory. A directory's own time is not touched by setting its children's.
fn times(engine: &Engine<'_>, shares: &Shares, order: &[Piece<'_>], parts: &[Manifest]) -> Result<(), Error> {
    let parents = order.iter().filter(|(path, ..)| shares.is_shared(path)).copied().collect();
    let pool = Pool::new(parents);
    pool.run(vec![Vec::new(); engine.worker_count], |block, (path, n, at)| {
        parts[n].load(at, block).map_err(|e| engine.manifest_error(e))?;
        let mut opened = None;
        for record in records(block).filter(|r| r.kind == Kind::Dir && !r.flags.orphan && !r.flags.kept) {
            // A link that is followed to where the directory is keeps its own time.
            if record.flags.found && engine.request.options.follow_destination_links {
                continue;
            }
            let prefix: &[u8] = if path.is_empty() { b"" } else { b"/" };
            if !shares.is_shared(&[path, prefix, &*record.name].concat()) {
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
