//! Whether copies installed everything at and below an entry that is in the way, so that it may be removed.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Stat};

use crate::copy::error::Error;
use crate::copy::io::listing;
use crate::copy::io::path::{file_name, join, parent};
use crate::copy::io::sight::Sight;
use crate::copy::manifest::{Kind, Record, records};
use crate::copy::plan::compare::compare_content;
use crate::copy::plan::known::Known;
use crate::support::rooted_dir::Dir;

/// What copies have installed at and below an entry, to be removed: paths below it, the deepest last.
pub(crate) type Installed = Vec<(Vec<u8>, Sight, FileType)>;

impl Known<'_> {
    /// Everything at and below the entry, if copies installed it at `path` and it is as they left it.
    pub(crate) fn installed(
        &self,
        made: &OwnedFd,
        name: &CStr,
        path: &[u8],
    ) -> Result<Option<Installed>, Error> {
        let failed = |e: io::Error| self.roots.volume_error("compare", path, e);
        let stat = rustix::fs::statat(made, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| failed(e.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return self.installed_below(made, name, path).map_err(failed);
        }
        let parent = parent(path).unwrap_or_default();
        let known = self.known_in(parent).map_err(failed)?;
        let mut buffer = Vec::new();
        let is_left = known.get(file_name(path)).is_some_and(|records| {
            records.iter().any(|record| is_as_left(made, name, record, &stat, &mut buffer).unwrap_or(false))
        });
        Ok(is_left.then(|| vec![(Vec::new(), Sight::from(&stat), kind)]))
    }

    /// As [`Known::installed`], for a directory.
    pub(crate) fn installed_below(
        &self,
        made: &OwnedFd,
        name: &CStr,
        path: &[u8],
    ) -> io::Result<Option<Installed>> {
        let top = Dir::from_fd(listing::open(made, name)?);
        let mut buffer = Vec::new();
        let mut found = vec![(Vec::new(), Sight::from(&top.stat()?), FileType::Directory)];
        let mut todo = vec![(top, Vec::new())];
        while let Some((dir, below)) = todo.pop() {
            let here = if below.is_empty() { path.to_vec() } else { join(path, &below) };
            let known = self.known_in(&here)?;
            for (name, kind) in dir.entries()? {
                let bytes = name.as_bytes();
                let Some(records) = known.get(bytes) else { return Ok(None) };
                let stat = dir.stat_at(&name)?;
                let child = join(&below, bytes);
                if kind == FileType::Directory && records.iter().any(|record| record.kind == Kind::Dir) {
                    found.push((child.clone(), Sight::from(&stat), kind));
                    todo.push((dir.open_dir(&name)?, child));
                    continue;
                }
                let Ok(c_name) = CString::new(bytes) else { return Ok(None) };
                let mut is_left = false;
                for record in records {
                    is_left |= is_as_left(&dir, &c_name, record, &stat, &mut buffer)?;
                }
                if !is_left {
                    return Ok(None);
                }
                found.push((child, Sight::from(&stat), kind));
            }
        }
        Ok(Some(found))
    }

    /// What all owners have installed in a directory, by name.
    fn known_in(&self, path: &[u8]) -> io::Result<HashMap<Vec<u8>, Vec<Record<'static>>>> {
        let mut known: HashMap<Vec<u8>, Vec<Record<'static>>> = HashMap::new();
        let mut block = Vec::new();
        if let Some(at) = self.old.find(path) {
            self.old.load(at, &mut block)?;
        }
        let others = self.layers.directory(path)?;
        let all = records(&block).map(Record::into_owned).chain(others.into_records());
        for record in all.filter(|record| !record.flags.found && !record.flags.kept) {
            known.entry(record.name.to_vec()).or_default().push(record);
        }
        Ok(known)
    }
}

/// Whether an entry is as a record says that it was left; reads its content.
fn is_as_left(
    dir: impl AsFd,
    name: &CStr,
    record: &Record<'_>,
    stat: &Stat,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    let Some(left) = record.payload_left() else { return Ok(false) };
    compare_content(dir, name, left, stat, buffer)
}
