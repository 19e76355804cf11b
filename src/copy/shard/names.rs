//! File names of shards in the journal and in staging.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::copy::options::Shard;
use crate::copy::request::Request;
use crate::copy::shard::partition::Shares;
use crate::support::rooted_dir::Dir;

/// The name of staging, from owner and shard.
pub(crate) fn stage_name(owner: &OsStr, request: &Request) -> String {
    let owner = owner.to_string_lossy();
    match request.options.shard {
        None => owner.into_owned(),
        Some(shard) => format!("{owner}.shard-{}-of-{}", shard.index, shard.count),
    }
}

/// The run, as part of file names.
pub(crate) fn group(request: &Request) -> String {
    blake3::hash(request.group.as_bytes()).to_hex()[..16].to_owned()
}

/// The manifest that a copy writes: the whole, or this shard's part.
pub(crate) fn part_name(name: &OsStr, request: &Request, shares: Option<&Shares>) -> OsString {
    let (Some(shard), Some(shares)) = (request.options.shard, shares) else { return name.to_owned() };
    part(name, &group(request), shares, shard)
}

/// The name of one copier's part.
pub(crate) fn part(name: &OsStr, group: &str, shares: &Shares, shard: Shard) -> OsString {
    let mut part = name.to_owned();
    part.push(format!(".part-{group}-{}-{}-of-{}", shares.listing, shard.index, shard.count));
    part
}

/// The common prefix of all parts and their notes.
pub(crate) fn prefix(name: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b".part-"].concat()
}

/// The parts and notes that are not from this run's copiers of this image.
pub(crate) fn parts_of_others(
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

/// Removes all parts: the manifest in force has their content.
pub(crate) fn remove_parts(dir: &Dir, name: &OsStr) -> io::Result<()> {
    let prefix = prefix(name);
    for (entry, _) in dir.entries()? {
        if entry.as_bytes().starts_with(&prefix) {
            dir.remove_all(&entry)?;
        }
    }
    Ok(())
}
