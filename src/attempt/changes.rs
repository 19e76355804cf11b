//! Keeps what a copy changed beside the attempt's log, for `diff` and `report`. Nothing depends on it: if it cannot be
//! kept, the summary says so.

use std::collections::HashSet;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::open::Opened;
use crate::copy;
use crate::volume::{Change, Changes, History};

/// Keeps the changes of a copy into `destination`, even of a failed one. Returns a sentence if that is impossible.
pub(super) fn keep(opened: &Opened, destination: &Path, changed: &copy::Changes) -> Option<String> {
    let removed = changed.items.iter().filter(|change| change.action == "removed");
    // An entry with something below it was a directory.
    let emptied: HashSet<&Path> =
        removed.flat_map(|change| change.path.as_path().ancestors().skip(1)).collect();
    let items = changed.items.iter().filter_map(|change| {
        let path = change.path.as_path();
        let was_directory = change.action == "removed" && emptied.contains(path);
        let (kind, target) =
            if was_directory { ("directory", Vec::new()) } else { kind_of(&destination.join(path)) };
        // The copy failed before the entry got its name.
        if change.action == "installed" && kind.is_empty() {
            return None;
        }
        Some(Change {
            to: destination.as_os_str().as_bytes().to_vec(),
            path: path.as_os_str().as_bytes().to_vec(),
            kind: kind.to_owned(),
            target,
            action: change.action.to_owned(),
            reason: change.reason.to_owned(),
            differs: change.differs.to_string(),
        })
    });
    let list = Changes { items: items.collect(), more: changed.more };
    let started = &opened.started;
    let kept = History::create(&opened.volume)
        .and_then(|history| history.keep_changes(&started.run, started.attempt, list));
    kept.err().map(|error| format!("`hook-runner diff` will not know what this attempt changed: {error}"))
}

fn kind_of(path: &Path) -> (&'static str, Vec<u8>) {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return ("", Vec::new()) };
    if metadata.is_symlink() {
        let target = std::fs::read_link(path).unwrap_or_default();
        return ("link", target.into_os_string().into_vec());
    }
    let kind = match (metadata.is_dir(), metadata.is_file()) {
        (true, _) => "directory",
        (_, true) => "file",
        _ => "other",
    };
    (kind, Vec::new())
}
