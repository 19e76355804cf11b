//! Reads a manifest: checks it as a whole first, then reads records block by block on demand.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::{PoisonError, RwLock};

use rustix::io::Errno;

use crate::copy::manifest::head::{HEADER, HEADER_0_1, Head};
use crate::copy::manifest::record::Record;
use crate::copy::manifest::text::{Time, unescape};
use crate::copy::manifest::write::HASHED;
use crate::support::rooted_dir::Dir;

#[derive(Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) head: Head,
    /// When it came into force, by the volume's clock (its ctime). A file with a later ctime was touched since.
    pub(crate) written: Time,
    file: RwLock<Option<File>>,
    /// Sorted by path. The destination's own path is empty.
    blocks: Vec<Placed>,
}

/// The position of a directory's records in the file.
#[derive(Debug)]
struct Placed {
    path: Box<[u8]>,
    offset: u64,
    len: u64,
}

/// The result of reading a manifest.
pub(crate) enum Reading {
    Read(Manifest),
    Absent,
    /// It exists but cannot be trusted: torn, altered, or of a newer version.
    Unusable,
}

impl Manifest {
    /// Reads the manifest `name` and checks it as a whole.
    pub(crate) fn read(dir: &Dir, name: &OsStr) -> io::Result<Reading> {
        let file = match dir.open_read(name) {
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT) => return Ok(Reading::Absent),
                // A link or a socket under that name: the next manifest replaces it.
                Some(Errno::LOOP | Errno::NXIO) => return Ok(Reading::Unusable),
                _ => return Err(error),
            },
            Ok(file) => file,
        };
        Self::of(file)
    }

    /// As [`Manifest::read`], of an open file.
    pub(crate) fn of(file: File) -> io::Result<Reading> {
        if !file.metadata()?.is_file() {
            return Ok(Reading::Unusable);
        }
        let stat = rustix::fs::fstat(&file)?;
        let written = (stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(0));
        Ok(match index(&file)? {
            Some((head, blocks)) => {
                Reading::Read(Self { head, written, file: RwLock::new(Some(file)), blocks })
            }
            None => Reading::Unusable,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The index of a directory's block.
    pub(crate) fn find(&self, path: &[u8]) -> Option<usize> {
        self.blocks.binary_search_by(|block| (*block.path).cmp(path)).ok()
    }

    /// The indexes of the blocks of `path` and everything below it.
    pub(crate) fn subtree(&self, path: &[u8]) -> impl Iterator<Item = usize> + '_ {
        let own = self.find(path);
        let mut prefix = path.to_vec();
        if !path.is_empty() {
            prefix.push(b'/');
        }
        let start = self.blocks.partition_point(|block| *block.path < *prefix);
        let below =
            self.blocks[start..].iter().take_while(move |block| block.path.starts_with(&prefix)).count();
        own.into_iter().chain((start..start + below).filter(move |at| Some(*at) != own))
    }

    pub(crate) fn path(&self, at: usize) -> &[u8] {
        &self.blocks[at].path
    }

    /// Reads the records of a block into `into` (cleared first).
    pub(crate) fn load(&self, at: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let block = &self.blocks[at];
        into.clear();
        into.resize(usize::try_from(block.len).map_err(|_| io::ErrorKind::OutOfMemory)?, 0);
        match &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.read_exact_at(into, block.offset),
            None => Ok(()),
        }
    }

    /// Closes the file: no records can be read any more.
    pub(crate) fn close(&self) {
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

pub(crate) fn records(block: &[u8]) -> impl Iterator<Item = Record<'_>> {
    // Never drops a line: one that cannot be parsed would have failed the digest.
    block.split(|b| *b == b'\n').filter(|line| !line.is_empty()).filter_map(Record::parse)
}

/// Reads the whole file; `None` if it is not a complete, unaltered manifest of this version.
fn index(file: &File) -> io::Result<Option<(Head, Vec<Placed>)>> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut hasher = blake3::Hasher::new();
    // Lines not yet hashed: BLAKE3 is faster on large chunks.
    let mut lines = Vec::with_capacity(HASHED + 4096);
    let mut offset = 0;
    let mut blocks: Vec<Placed> = Vec::new();
    let mut head = Head::default();
    loop {
        if lines.len() >= HASHED {
            hasher.update(&lines);
            lines.clear();
        }
        let start = lines.len();
        let read = reader.read_until(b'\n', &mut lines)?;
        let line = &lines[start..];
        if line.last() != Some(&b'\n') {
            return Ok(None);
        }
        if offset == 0 {
            if line != HEADER && line != HEADER_0_1 {
                return Ok(None);
            }
        } else if blocks.is_empty() && head.read(&line[..line.len() - 1]) {
        } else if let Some(path) = line.strip_prefix(b"/") {
            let Some(path) = unescape(&path[..path.len() - 1]) else { return Ok(None) };
            if blocks.last().is_some_and(|last| *last.path >= *path) {
                return Ok(None);
            }
            let start = offset + read as u64;
            blocks.push(Placed { path: path.into(), offset: start, len: 0 });
        } else if let Some(end) = line.strip_prefix(b"end ") {
            hasher.update(&lines[..start]);
            let expected = format!("{} {}\n", blocks.len(), hasher.finalize().to_hex());
            let whole = end == expected.as_bytes() && reader.read(&mut [0])? == 0;
            return Ok(whole.then_some((head, blocks)));
        } else {
            let Some(block) = blocks.last_mut() else { return Ok(None) };
            block.len += read as u64;
        }
        offset += read as u64;
    }
}
