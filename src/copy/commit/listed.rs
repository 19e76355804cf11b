//! The list, in a destination's state directory, of the destinations inside it at any depth. Each copy adds its own to the
//! lists of those above it; for those that were there before, the first run looks through the whole tree.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};

use crate::copy::state::{LIST, STATE, State};
use crate::support::rooted_dir::Dir;

/// Adds a destination to the lists of those above it. It is best effort: one that this user may not write is another
/// user's, and what is wrong with one is for its own next run to say.
pub(crate) fn announce(destination: &Path) {
    let Ok(real) = destination.canonicalize() else { return };
    let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).ok();
    let own = device(&real);
    for above in real.ancestors().skip(1).take_while(|above| device(above) == own) {
        let Ok(Some(state)) = Dir::open(above).and_then(|root| State::open(&root)) else { continue };
        let path = real.strip_prefix(above).unwrap_or(&real).as_os_str().as_bytes();
        let _ = read(&state).and_then(|listed| add(&state, &listed, path));
    }
}

/// The listed destinations, some of which may be gone.
pub(crate) fn listed(root: &Dir, state: &State) -> io::Result<Vec<PathBuf>> {
    let mut listed = read(state)?;
    if !listed.iter().any(Vec::is_empty) {
        for path in look_through(root)?.into_iter().chain([Vec::new()]) {
            add(state, &listed, &path)?;
            listed.push(path);
        }
    }
    listed.retain(|path| !path.is_empty());
    Ok(listed.iter().map(|path| PathBuf::from(OsStr::from_bytes(path))).collect())
}

fn read(state: &State) -> io::Result<Vec<Vec<u8>>> {
    let mut list = Vec::new();
    match state.root.open_regular(LIST, OFlags::RDONLY, 0) {
        Ok(mut file) => file.read_to_end(&mut list)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // A path that was cut off has no NUL at its end.
    let mut paths: Vec<_> = list.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    paths.pop();
    Ok(paths)
}

fn add(state: &State, listed: &[Vec<u8>], path: &[u8]) -> io::Result<()> {
    if listed.iter().any(|listed| listed == path) {
        return Ok(());
    }
    let mut list = state.root.open_for_group(LIST, OFlags::WRONLY | OFlags::APPEND)?;
    list.write_all(&[path, b"\0"].concat())?;
    list.sync_all()
}

/// Finds the directories with a state directory, on this mount and as far as this user may look.
fn look_through(root: &Dir) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let Ok(dir) = (if path.as_os_str().is_empty() { root.reopen() } else { root.open_dir(&path) }) else {
            continue;
        };
        if !dir.is_on_mount_of(root)? {
            continue;
        }
        for (name, kind) in dir.entries().unwrap_or_default() {
            if name == STATE {
                found.push(path.as_os_str().as_bytes().to_vec());
            } else if kind == FileType::Directory {
                todo.push(path.join(name));
            }
        }
    }
    found.retain(|path| !path.is_empty());
    Ok(found)
}
