//! Recognizes the runner's own files on a volume: a state directory by its name or content, a preserved log by its
//! first bytes or by the history that names it. Every replacement, move and removal asks here first.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use super::LOG_NAME;
use super::os::{FileExt, OsStrExt, OsStringExt};
use super::rooted_dir::{Dir, FileType, OFlags};

/// The default name of a state directory.
pub const STATE_DIRECTORY: &str = ".hook-runner";
/// In a state directory: the directory with one history per log.
pub const HISTORIES: &str = "histories";
/// In a state directory: the file that a running attempt holds a lock on.
pub const RUNNING: &str = "running";
/// How the first line of a preserved log begins.
pub const HEADER_START: &str = "=== hook-runner: attempt ";
/// A longer log name is cut and gets a hash, which keeps it unique.
const LONGEST_NAME: usize = 180;

/// Whether a directory of any name is a state directory.
pub fn is_state(dir: &Dir) -> io::Result<bool> {
    let is = |name: &str, kind| {
        dir.find(name).map(|stat| stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind))
    };
    Ok(is(HISTORIES, FileType::Directory)? && is(RUNNING, FileType::RegularFile)?)
}

/// Whether an entry of a directory is a preserved log or a state directory, or a directory that holds one.
///
/// # Errors
/// What the volume answers. An entry that we may not read counts as not the runner's.
pub fn is_own(dir: &Dir, name: &OsStr, kind: FileType) -> io::Result<bool> {
    match kind {
        FileType::RegularFile => Ok(is_named_in(dir, name) || is_log(dir, name)?),
        FileType::Directory => holds_own(dir, name),
        _ => Ok(false),
    }
}

/// Whether the state directory beside a file has a history for a log of that name.
fn is_named_in(dir: &Dir, name: &OsStr) -> bool {
    let Ok(state) = dir.open_dir(STATE_DIRECTORY) else { return false };
    // Version 0.1 had one history for all logs; the log with the default name is the likely one.
    if name == LOG_NAME {
        return true;
    }
    let key = encoded(name);
    let histories = state.open_dir(HISTORIES).and_then(|histories| histories.entries()).unwrap_or_default();
    histories
        .iter()
        .any(|(other, _)| other.as_bytes().split(|&byte| byte == b'@').next() == Some(key.as_bytes()))
}

/// Turns "permission denied" into `None`.
fn permitted<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        result => result.map(Some),
    }
}

fn is_log(dir: &Dir, name: &OsStr) -> io::Result<bool> {
    let Some(file) = permitted(dir.open_regular(name, OFlags::RDONLY, 0))? else { return Ok(false) };
    let mut first = [0; HEADER_START.len()];
    let length = file.read_at(&mut first, 0)?;
    Ok(&first[..length] == HEADER_START.as_bytes())
}

fn holds_own(dir: &Dir, name: &OsStr) -> io::Result<bool> {
    let Some(top) = permitted(dir.open_dir(name))? else { return Ok(false) };
    // Paths and not handles: a wide tree would use up the descriptors.
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let Some(here) = permitted(top.open_dir(&path))? else { continue };
        if path.file_name().unwrap_or(name) == STATE_DIRECTORY || is_state(&here)? {
            return Ok(true);
        }
        for (name, kind) in here.entries()? {
            match kind {
                FileType::Directory => todo.push(path.join(name)),
                FileType::RegularFile if is_log(&here, &name)? => return Ok(true),
                _ => {}
            }
        }
    }
    Ok(false)
}

/// The directory name that stands for a log name among the histories. Each byte outside `A-Za-z0-9_-.` becomes `%` and
/// two hex digits, so that two names never share a directory.
pub fn encoded(name: &OsStr) -> OsString {
    let mut text = String::new();
    for &byte in name.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || byte == b'.' && !text.is_empty() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    if text.len() > LONGEST_NAME {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        text.truncate(LONGEST_NAME);
        text = format!("{text}%%{}", &hash[..16]);
    }
    text.into()
}

/// The log's name; `None` if it was too long to be kept whole.
pub fn decoded(name: &OsStr) -> Option<OsString> {
    let name = name.as_bytes().split(|&byte| byte == b'@').next()?;
    let mut bytes = Vec::new();
    let mut rest = name.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [*rest.next()?, *rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    Some(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_of_logs_share_a_history() {
        let long = "x".repeat(200);
        let names = ["a.txt", "A.txt", "a%2etxt", ".a", "a b", "a\u{fffd}", &long, &(long.clone() + "y")];
        let mut keys: Vec<OsString> = names.iter().map(|name| encoded(OsStr::new(name))).collect();
        keys.push(encoded(OsStr::from_bytes(b"a\xff")));
        for key in &keys {
            assert!(key.len() < 255 && !key.as_bytes().starts_with(b"."), "{key:?}");
        }
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn a_name_is_read_back_from_its_key() {
        for name in [&b"a.txt"[..], b".a", b"a b", b"a\xff", b"%"] {
            assert_eq!(decoded(&encoded(OsStr::from_bytes(name))), Some(OsStr::from_bytes(name).to_owned()));
        }
    }
}
