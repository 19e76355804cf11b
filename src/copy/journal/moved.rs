//! Notes what a copy renames to make way, before it renames it. If the copy is killed before the new entry has the
//! name, or before the old one is removed, the next copy puts it back or removes it. On stable storage before the rename,
//! as after a power failure a name without its entry would look as if a user had deleted it.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io::{self, Read as _, Write as _};

use rustix::fs::OFlags;

use crate::copy::manifest::sync_directory;
use crate::copy::own_files::OwnFiles;

/// The new name beside, by the original path.
pub(crate) type Moved = BTreeMap<Vec<u8>, CString>;

/// Notes that `path` is about to be renamed to `beside`.
pub(crate) fn note(files: &OwnFiles, path: &[u8], beside: &CStr) -> io::Result<()> {
    let Some(state) = &files.state else { return Ok(()) };
    let mut file = state.journal.open_for_group(&files.moved, OFlags::WRONLY | OFlags::APPEND)?;
    let is_first = file.metadata()?.len() == 0;
    file.write_all(&[path, beside.to_bytes(), b""].join(&b'\0'))?;
    file.sync_all()?;
    if is_first { sync_directory(&state.journal) } else { Ok(()) }
}

/// The notes of interrupted copies. The last note of a path counts: the earlier names were taken.
pub(crate) fn read(files: &OwnFiles) -> io::Result<Moved> {
    let Some(state) = &files.state else { return Ok(Moved::new()) };
    let mut moved = Moved::new();
    for name in files.all_moved(state)? {
        let mut noted = Vec::new();
        match state.journal.open_regular(&name, OFlags::RDONLY, 0) {
            Ok(mut file) => file.read_to_end(&mut noted)?,
            // Another shard has dealt with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // An incomplete note lacks its final NUL, and its rename did not happen.
        let mut parts: Vec<_> = noted.split(|byte| *byte == b'\0').collect();
        parts.pop();
        let pairs = parts.chunks_exact(2);
        moved.extend(pairs.filter_map(|pair| Some((pair[0].to_vec(), CString::new(pair[1]).ok()?))));
    }
    Ok(moved)
}

/// Removes the notes, all dealt with.
pub(crate) fn clear(files: &OwnFiles) -> io::Result<()> {
    let Some(state) = &files.state else { return Ok(()) };
    files.all_moved(state)?.iter().try_for_each(|name| state.journal.remove_all(name))
}
