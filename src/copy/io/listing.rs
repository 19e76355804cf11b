//! The sorted names of a directory, in one allocation that a worker reuses for the next directory.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::path::Arg;

/// Opens a subdirectory without following a link.
pub(crate) fn open(at: impl AsFd, name: impl Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Sorted names with their types.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    /// The names, each with its NUL.
    arena: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    /// Without the NUL.
    len: u16,
    kind: FileType,
}

impl Listing {
    /// Reads the directory from the handle's read position to the end.
    pub(crate) fn read(&mut self, dir: impl AsFd, buffer: &mut [MaybeUninit<u8>]) -> rustix::io::Result<()> {
        self.arena.clear();
        self.entries.clear();
        let dir = dir.as_fd();
        let mut raw = RawDir::new(dir, buffer);
        while let Some(entry) = raw.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                kind = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(rustix::io::Errno::NOENT) => continue,
                    Err(errno) => return Err(errno),
                };
            }
            // No directory holds 4 GiB of names.
            let start = u32::try_from(self.arena.len()).map_err(|_| rustix::io::Errno::OVERFLOW)?;
            let len = u16::try_from(name.to_bytes().len()).map_err(|_| rustix::io::Errno::NAMETOOLONG)?;
            self.arena.extend_from_slice(name.to_bytes_with_nul());
            self.entries.push(Entry { start, len, kind });
        }
        let arena = &self.arena;
        self.entries.sort_unstable_by(|a, b| bytes(arena, *a).cmp(bytes(arena, *b)));
        Ok(())
    }

    /// Makes it a listing of one file.
    pub(crate) fn only(&mut self, name: &CStr) {
        self.arena = name.to_bytes_with_nul().to_vec();
        let len = u16::try_from(name.to_bytes().len()).unwrap_or(u16::MAX);
        self.entries = vec![Entry { start: 0, len, kind: FileType::RegularFile }];
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.entries.binary_search_by(|entry| bytes(&self.arena, *entry).cmp(name)).is_ok()
    }

    pub(crate) fn get(&self, at: usize) -> (&CStr, FileType) {
        let entry = self.entries[at];
        let start = entry.start as usize;
        let name = &self.arena[start..=start + usize::from(entry.len)];
        // `read` copied it with its NUL.
        (CStr::from_bytes_with_nul(name).unwrap_or_default(), entry.kind)
    }

    /// Frees the memory of a huge directory.
    pub(crate) fn shrink(&mut self) {
        if self.arena.capacity() > 1 << 20 {
            *self = Self::default();
        }
    }
}

fn bytes(arena: &[u8], entry: Entry) -> &[u8] {
    &arena[entry.start as usize..][..usize::from(entry.len)]
}
