//! The shards of one copy: runs `ID.shard-N`, each with a log `NAME.shard-N`.

use std::ffi::OsStr;

use crate::support::os::OsStrExt;

/// The run's id without the number of a shard: all shards are one run.
pub(super) fn group(run: &str) -> &str {
    shard(run).map_or(run, |(group, _)| group)
}

/// The run's id and the number of the shard; `None` for a run without shards.
pub(super) fn shard(run: &str) -> Option<(&str, u32)> {
    let (group, number) = run.rsplit_once(".shard-")?;
    Some((group, number.parse().ok()?))
}

/// As [`shard`], of a log's name: each shard writes a log of its own.
pub(super) fn shard_of(log: &OsStr) -> Option<(&[u8], u32)> {
    const MARK: &[u8] = b".shard-";
    let bytes = log.as_bytes();
    let at = bytes.windows(MARK.len()).rposition(|window| window == MARK)?;
    let number = std::str::from_utf8(bytes.get(at + MARK.len()..)?).ok()?;
    Some((&bytes[..at], number.parse().ok()?))
}
