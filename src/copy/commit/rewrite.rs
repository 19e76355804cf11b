//! Updates an owner's manifest from the volume, without the source: with what a run left, or with what users changed
//! before it. Reads the volume; writes the manifest.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::copy::error::Error;
use crate::copy::io::mount::is_hidden;
use crate::copy::io::pool::Pool;
use crate::copy::manifest::{self, Block, Builder, Flags, Head, Kind, Manifest, Record, records};
use crate::copy::plan::compare::{Baseline, as_it_is};
use crate::copy::plan::filter::Filter;
use crate::copy::plan::layers::Layers;
use crate::copy::state::State;
use crate::support::rooted_dir::Dir;

/// Directories are looked at in parallel, because each look takes a round trip on a network volume.
pub(crate) const WORKERS: usize = 16;

/// What to record when the volume differs from a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A run that ended well left it so.
    AsTheRunLeft,
    /// A failed run left it so: the next copy installs the image's content again, unless somebody changes it before.
    AsTheFailedRunLeft,
    /// A user changed it: it is kept if the content differs or is gone, but not if only times or modes differ.
    UsersDoing,
}

/// One owner's manifest, and the rule by which it is updated.
pub(crate) struct Rewriting<'a> {
    pub(crate) rule: Rule,
    pub(crate) root: &'a Dir,
    pub(crate) old: &'a Manifest,
    pub(crate) layers: &'a Layers,
    /// Entries that took no part in the copy are skipped.
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) follow: Option<&'a std::path::Path>,
    /// Only entries in this directory and below it are looked at.
    pub(crate) below: Option<&'a std::path::Path>,
}

#[derive(Clone, Default)]
struct Buffers {
    old: Vec<u8>,
    new: Vec<u8>,
    data: Vec<u8>,
    /// A record took no part.
    left_out: bool,
}

impl Rewriting<'_> {
    /// Looks at every entry, and writes the manifest durably if a record has changed.
    pub(crate) fn write(&self, state: &State, owner: &OsStr) -> io::Result<()> {
        let builder = Builder::default();
        let pool = Pool::new((0..self.old.len()).collect::<Vec<_>>());
        let workers = pool
            .run(vec![Buffers::default(); WORKERS], |buffers, at| {
                self.block(at, &builder, buffers)
                    .map_err(|e| Error::system("read", OsStr::from_bytes(self.old.path(at)), e))
            })
            .map_err(io::Error::other)?;
        let sorted = builder.sort();
        if sorted.same_as(self.old)? {
            return Ok(());
        }
        let blocks = sorted.directories().map(|(path, _, range)| {
            let mut block = Vec::new();
            sorted.load(range, self.old, &mut block)?;
            Ok((Box::from(path), block))
        });
        let left_out = workers.iter().any(|buffers| buffers.left_out).then_some(self.old.written);
        let head = Head { compared: self.old.head.compared.or(left_out), ..self.old.head.clone() };
        manifest::write_then(&state.manifests, (owner, &head), blocks, || self.old.close())
    }

    fn block(&self, at: usize, builder: &Builder, buffers: &mut Buffers) -> io::Result<()> {
        let path = self.old.path(at);
        if self.below.is_some_and(|below| !std::path::Path::new(OsStr::from_bytes(path)).starts_with(below)) {
            return builder.add(path, Block::Old(at), || overflow(self.root));
        }
        self.old.load(at, &mut buffers.old)?;
        buffers.new.clear();
        let dir = open(self.root, path, self.follow)?;
        let is_hidden = is_hidden(self.root, path, dir.as_ref())?;
        let dir = dir.map(OwnedFd::from);
        let claims = self.layers.directory(path)?;
        for record in records(&buffers.old) {
            let is_dir = record.kind == Kind::Dir;
            let skipped = self
                .filter
                .is_some_and(|filter| filter.skips_below(path) || filter.skips(path, &record.name, is_dir));
            let name = CString::new(record.name.to_vec())?;
            // These records keep their base of comparison: entries of the user, of another owner, dropped by the image, or
            // below a mount, which hides them.
            let stays = is_dir
                || is_hidden
                || record.flags.kept
                || record.flags.orphan
                || claims.later(&name).is_some();
            if stays || skipped {
                let left_out = record.flags.left_out || skipped && !is_dir;
                buffers.left_out |= left_out;
                Record { flags: Flags { left_out, ..record.flags }, ..record }.write(&mut buffers.new);
            } else {
                self.changed(dir.as_ref(), record, &mut buffers.data)?.write(&mut buffers.new);
            }
        }
        let block = if buffers.new == buffers.old {
            Block::Old(at)
        } else {
            Block::New { records: &buffers.new, orphans: true }
        };
        builder.add(path, block, || overflow(self.root))
    }

    fn changed<'r>(
        &self,
        dir: Option<&OwnedFd>,
        record: Record<'r>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Record<'r>> {
        let left = as_it_is(dir, &record, Baseline::of(self.old), buffer)?;
        let now = Record { left, ..record.clone() };
        let differs = now.payload_left() != record.payload_left();
        Ok(match self.rule {
            Rule::AsTheRunLeft => {
                Record { flags: Flags { half_done: false, left_out: false, ..record.flags }, ..now }
            }
            Rule::AsTheFailedRunLeft if differs => {
                Record { flags: Flags { half_done: true, ..record.flags }, ..now }
            }
            Rule::UsersDoing if differs => Record { flags: Flags { kept: true, ..record.flags }, ..record },
            Rule::AsTheFailedRunLeft | Rule::UsersDoing => record,
        })
    }
}

/// Holds what does not fit into memory: a file in the state directory.
fn overflow(root: &Dir) -> io::Result<std::fs::File> {
    manifest::overflow(&root.open_dir(crate::copy::state::STATE)?)
}

/// Opens a directory of the destination; `None` if it is missing or no directory.
pub(crate) fn open(root: &Dir, path: &[u8], follow: Option<&std::path::Path>) -> io::Result<Option<Dir>> {
    let rel = OsStr::from_bytes(path);
    let opened = match follow {
        Some(destination) => Dir::open(destination.join(rel)),
        None => root.open_dir(rel),
    };
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            _ => Err(error),
        },
    }
}
