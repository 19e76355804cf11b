//! Collects the records of the new manifest. Workers add blocks in any order, a directory's records perhaps in several
//! pieces. Beyond a few MiB they are kept in a file until they are sorted into the manifest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use rustix::fs::OFlags;

use crate::copy::manifest::pieces::join;
use crate::copy::manifest::read::Manifest;
use crate::support::mutex;
use crate::support::rooted_dir::Dir;

/// How much is kept in memory before the file is used: the records of about 50,000 files.
const IN_MEMORY: usize = 8 << 20;

/// An unnamed file in a state directory, for what does not fit into memory.
pub(crate) fn overflow(state: &Dir) -> io::Result<File> {
    let name = format!("overflow-{}", std::process::id());
    let file = state.open_with(&name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o600)?;
    state.unlink(&name)?;
    Ok(file)
}

/// The same without a volume, for a dry run.
pub(crate) fn overflow_in_memory() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("hook-runner", rustix::fs::MemfdFlags::CLOEXEC)?))
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// Unchanged: a block of the old manifest.
    Old(usize),
    /// Collected here.
    New { offset: u64, len: usize },
}

#[derive(Debug, Default)]
pub(crate) struct Builder {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pieces: Vec<(Box<[u8]>, Place, bool)>,
    memory: Vec<u8>,
    flushed: u64,
    file: Option<File>,
}

/// The records of one directory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Block<'a> {
    /// The same as the block with this index of the old manifest.
    Old(usize),
    /// New records, sorted by name. `orphans`: the image no longer has some of them.
    New { records: &'a [u8], orphans: bool },
}

impl Builder {
    /// Adds a piece. `overflow` creates the unnamed file for what does not fit into memory.
    pub(crate) fn add(
        &self,
        path: &[u8],
        block: Block<'_>,
        overflow: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<()> {
        let mut inner = mutex::lock(&self.inner);
        let inner = &mut *inner;
        let (place, orphans) = match block {
            Block::Old(at) => (Place::Old(at), true),
            Block::New { records, orphans } => {
                let place =
                    Place::New { offset: inner.flushed + inner.memory.len() as u64, len: records.len() };
                if inner.memory.capacity() == 0 {
                    // Reserved at once, because growing would copy it again and again; untouched pages cost nothing.
                    inner.memory.reserve_exact(IN_MEMORY + (1 << 20));
                }
                inner.memory.extend_from_slice(records);
                if inner.memory.len() > IN_MEMORY {
                    if inner.file.is_none() {
                        inner.file = Some(overflow()?);
                    }
                    if let Some(file) = &inner.file {
                        file.write_all_at(&inner.memory, inner.flushed)?;
                        inner.flushed += inner.memory.len() as u64;
                        inner.memory.clear();
                    }
                }
                (place, orphans)
            }
        };
        inner.pieces.push((path.into(), place, orphans));
        Ok(())
    }

    /// Sorts the pieces. Nothing may be added afterwards.
    pub(crate) fn sort(&self) -> Sorted {
        let mut inner = std::mem::take(&mut *mutex::lock(&self.inner));
        inner.pieces.sort_by(|a, b| a.0.cmp(&b.0));
        inner.pieces.shrink_to_fit();
        Sorted { inner }
    }
}

#[derive(Debug)]
pub(crate) struct Sorted {
    inner: Inner,
}

impl Sorted {
    /// Whether the old manifest has the same records.
    pub(crate) fn same_as(&self, old: &Manifest) -> io::Result<bool> {
        let (mut count, mut new, mut known) = (0, Vec::new(), Vec::new());
        for (at, (path, _, range)) in self.directories().enumerate() {
            count += 1;
            if at >= old.len() || old.path(at) != path {
                return Ok(false);
            }
            match &self.inner.pieces[range.clone()] {
                [(_, Place::Old(n), _)] if *n == at => {}
                [_] => return Ok(false),
                // Several pieces: only the merged records can be compared.
                _ => {
                    self.load(range, old, &mut new)?;
                    old.load(at, &mut known)?;
                    if new != known {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(count == old.len())
    }

    /// Each directory's path, whether it may have orphans, and the range of its pieces for [`Sorted::load`].
    pub(crate) fn directories(&self) -> impl Iterator<Item = (&[u8], bool, std::ops::Range<usize>)> {
        let pieces = &self.inner.pieces;
        let mut at = 0;
        std::iter::from_fn(move || {
            let path = &pieces.get(at)?.0;
            let start = at;
            at += pieces[start..].iter().take_while(|piece| piece.0 == *path).count();
            Some((&**path, pieces[start..at].iter().any(|piece| piece.2), start..at))
        })
    }

    pub(crate) fn load(
        &self,
        range: std::ops::Range<usize>,
        old: &Manifest,
        into: &mut Vec<u8>,
    ) -> io::Result<()> {
        into.clear();
        let single = range.len() == 1;
        let mut piece = Vec::new();
        for (_, place, _) in &self.inner.pieces[range] {
            match *place {
                Place::Old(at) if single => old.load(at, into)?,
                Place::Old(at) => {
                    old.load(at, &mut piece)?;
                    into.extend_from_slice(&piece);
                }
                Place::New { offset, len } => self.read(offset, len, into)?,
            }
        }
        if !single {
            let all = std::mem::take(into);
            join(&all, into);
        }
        Ok(())
    }

    fn read(&self, offset: u64, len: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let start = into.len();
        if offset >= self.inner.flushed {
            let at = usize::try_from(offset - self.inner.flushed).map_err(|_| io::ErrorKind::InvalidData)?;
            into.extend_from_slice(&self.inner.memory[at..at + len]);
            return Ok(());
        }
        // Cannot be split: memory is written to the file only between pieces.
        into.resize(start + len, 0);
        match &self.inner.file {
            Some(file) => file.read_exact_at(&mut into[start..], offset),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
