//! Finishes what a killed copy began when it made way for an entry (`blocking.rs`): a renamed entry gets its name back,
//! or is removed if the new entry has the name and copies had installed all of it.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;

use crate::copy::error::Error;
use crate::copy::io::path::{file_name, parent};
use crate::copy::journal::moved::{self, Moved};
use crate::copy::own_files::OwnFiles;
use crate::copy::plan::known::Known;
use crate::copy::publish::blocking::remove_installed;
use crate::copy::publish::moving::rename_new;
use crate::copy::tree::roots::Roots;

/// The entries that an interrupted copy renamed, with their new names.
pub(crate) struct PutBack<'a> {
    files: &'a OwnFiles,
    moved: Moved,
}

impl<'a> PutBack<'a> {
    /// Renames them back where the name is free. The others stay beside for now.
    pub(crate) fn begin(roots: &Roots, files: &'a OwnFiles) -> Result<Self, Error> {
        let failed = |e: io::Error| roots.volume_error("read the journal of", b"", e);
        let _lock = files.lock().map_err(failed)?;
        let moved = moved::read(files).map_err(failed)?;
        for (path, beside) in &moved {
            let (Some(made), Ok(name)) = (directory_of(roots, path)?, CString::new(file_name(path))) else {
                continue;
            };
            let _ = rename_new((&made, beside), (&made, &name));
        }
        Ok(Self { files, moved })
    }

    /// Removes those that are still beside, if the new entry has the name and copies had installed all of it.
    pub(crate) fn end(self, known: &Known<'_>) -> Result<(), Error> {
        if self.moved.is_empty() {
            return Ok(());
        }
        for (path, beside) in &self.moved {
            let Some(made) = directory_of(known.roots, path)? else { continue };
            if let Ok(Some(installed)) = known.installed(&made, beside, path) {
                let _ = remove_installed(&made, beside, &installed);
            }
        }
        let failed = |e: io::Error| known.roots.volume_error("write to the journal of", b"", e);
        let _lock = self.files.lock().map_err(failed)?;
        moved::clear(self.files).map_err(failed)
    }
}

fn directory_of(roots: &Roots, path: &[u8]) -> Result<Option<OwnedFd>, Error> {
    Ok(roots.volume_dir(parent(path).unwrap_or_default())?.map(OwnedFd::from))
}
