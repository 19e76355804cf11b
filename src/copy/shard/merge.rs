//! Merges the manifests of several copiers (`I/N`), of which each has a share of the image's entries (see `partition`).
//! They do not communicate: each stages for itself, creates shared directories in place, and writes its part of the
//! manifest, in which a shared directory has only this copier's entries. The copier that finds all parts merges them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::copy::error::Error;
use crate::copy::io::metadata::set_times_at;
use crate::copy::io::pool::Pool;
use crate::copy::journal::ledger::Ledger;
use crate::copy::manifest::pieces::join;
use crate::copy::manifest::{self, Head, Kind, Manifest, Reading, records};
use crate::copy::options::Shard;
use crate::copy::report::Report;
use crate::copy::request::Request;
use crate::copy::shard::lock;
use crate::copy::shard::names::{group, part, remove_parts};
use crate::copy::shard::partition::Shares;
use crate::copy::tree::roots::Roots;

/// Merges the parts if all are there, then sets the times of shared directories, because any copier may have added an
/// entry after another had set the time. Returns the reason if the parts can never be merged.
pub(crate) fn merge(
    request: &Request,
    ledger: &Ledger<'_>,
    workers: usize,
    report: &mut Report,
) -> Result<Option<Error>, Error> {
    let shares = ledger.known.scope.shares.as_ref();
    let (Some(shard), Some(shares)) = (request.options.shard, shares) else { return Ok(None) };
    let dir = ledger.files.journal()?;
    let failed = |e: io::Error| ledger.roots.manifest_error(e);
    let name = &ledger.files.manifest;
    let _lock = lock::take(dir, name).map_err(failed)?;
    let group = group(request);
    let names: Vec<OsString> = (0..shard.count)
        .map(|index| part(name, &group, shares, Shard { index, count: shard.count }))
        .collect();
    let there: Vec<OsString> = dir.entries().map_err(failed)?.into_iter().map(|(entry, _)| entry).collect();
    // An earlier part of this copier, about another image: it is only a note from now on.
    for entry in others(&there, name, &group).filter(|other| other.index == shard.index) {
        if *entry.name != names[shard.index as usize] {
            let mut note = entry.name.to_owned();
            note.push(".next");
            dir.rename(entry.name, dir, &note).map_err(failed)?;
        }
    }
    if !names.iter().all(|name| there.contains(name)) {
        // The last copier to finish finds all parts, unless some copied something else.
        return Ok(told_apart(&there, name, &group, &names).map(Error::apart));
    }
    let mut parts = Vec::new();
    for name in &names {
        let Reading::Read(part) = Manifest::read(dir, name).map_err(failed)? else { return Ok(None) };
        parts.push(part);
    }
    put_together(ledger, shares, &parts, workers)?;
    remove_parts(dir, name).map_err(failed)?;
    report.remarks.push(format!("the parts of {} copiers were put together", shard.count));
    Ok(None)
}

/// Writes the merged manifest.
fn put_together(
    ledger: &Ledger<'_>,
    shares: &Shares,
    parts: &[Manifest],
    workers: usize,
) -> Result<(), Error> {
    let failed = |e: io::Error| ledger.roots.manifest_error(e);
    let mut order: Vec<Piece<'_>> = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        order.extend((0..part.len()).map(|at| (part.path(at), n, at)));
    }
    order.sort_unstable();
    let blocks = order.chunk_by(|a, b| a.0 == b.0).map(|pieces| {
        let mut block = Vec::new();
        together(pieces, parts, &mut block)?;
        Ok((Box::from(pieces[0].0), block))
    });
    let state = ledger.files.state()?;
    let compared = parts.iter().filter_map(|part| part.head.compared).min();
    let (name, head) = (&ledger.files.manifest, Head { compared, ..ledger.head() });
    let close = || ledger.known.close_manifests();
    manifest::write_then(&state.manifests, (name, &head), blocks, close).map_err(failed)?;
    times(ledger.roots, (shares, workers), &order, parts)?;
    manifest::touch(&state.manifests, name);
    Ok(())
}

/// A copier's part in this run, of whatever image.
struct Part<'a> {
    name: &'a OsStr,
    index: u32,
}

/// The complete parts of a run's copiers.
fn others<'a>(there: &'a [OsString], name: &OsStr, group: &str) -> impl Iterator<Item = Part<'a>> {
    let prefix = [name.as_bytes(), b".part-", group.as_bytes(), b"-"].concat();
    there.iter().filter_map(move |entry| {
        // `LISTING-INDEX-of-COUNT`, as written by `part`.
        let rest = std::str::from_utf8(entry.as_bytes().strip_prefix(&*prefix)?).ok()?;
        let (_, (index, count)) =
            rest.split_once('-').map(|(l, rest)| Some((l, rest.split_once("-of-")?)))??;
        count.parse::<u32>().ok()?;
        Some(Part { name: entry, index: index.parse().ok()? })
    })
}

/// If every other copier has finished, a sentence about those that copied something else.
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

/// A directory's path, and its block in one of the parts.
type Piece<'a> = (&'a [u8], usize, usize);

/// The records of a directory, merged if it is shared.
fn together(pieces: &[Piece<'_>], parts: &[Manifest], into: &mut Vec<u8>) -> io::Result<()> {
    if let [(_, n, at)] = pieces {
        return parts[*n].load(*at, into);
    }
    let (mut all, mut block) = (Vec::new(), Vec::new());
    for (_, n, at) in pieces {
        parts[*n].load(*at, &mut block)?;
        all.extend_from_slice(&block);
    }
    join(&all, into);
    Ok(())
}

/// Sets the mtime of every shared directory. Setting a child's time does not change its parent's.
fn times(
    roots: &Roots,
    (shares, workers): (&Shares, usize),
    order: &[Piece<'_>],
    parts: &[Manifest],
) -> Result<(), Error> {
    let parents = order.iter().filter(|(path, ..)| shares.is_shared(path)).copied().collect();
    let pool = Pool::new(parents);
    pool.run(vec![Vec::new(); workers], |block, (path, n, at)| {
        parts[n].load(at, block).map_err(|e| roots.manifest_error(e))?;
        let mut opened = None;
        for record in records(block).filter(|r| r.kind == Kind::Dir && !r.flags.orphan && !r.flags.kept) {
            // A followed link on the volume keeps its own time.
            if record.flags.found && roots.follow {
                continue;
            }
            let prefix: &[u8] = if path.is_empty() { b"" } else { b"/" };
            if !shares.is_shared(&[path, prefix, &*record.name].concat()) {
                continue;
            }
            let dir = match &opened {
                Some(dir) => dir,
                None => match roots.destination.open_dir(OsStr::from_bytes(path)) {
                    Ok(dir) => opened.insert(dir),
                    Err(_) => return Ok(()),
                },
            };
            match set_times_at(dir, OsStr::from_bytes(&record.name), record.mtime) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(roots.volume_error("complete", path, error));
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    roots.destination.sync_filesystem().map_err(|e| roots.volume_error("sync", b"", e))
}
