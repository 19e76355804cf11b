//! After the copy: recording how the run left what was installed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::copy::Request;
use crate::copy::engine::owner_of;
use crate::copy::error::Error;
use crate::copy::io::pool::Pool;
use crate::copy::manifest::{self, Block, Kind, Left, Manifest, Reading, Record, Spill, records};
use crate::copy::plan::compare::as_it_is;
use crate::copy::plan::filter::Filter;
use crate::copy::plan::layers::Layers;
use crate::copy::preflight::Places;
use crate::copy::state::State;
use crate::support::rooted_dir::Dir;

/// Directories are looked at side by side, as on a network volume each look takes its time.
pub(in crate::copy) const WORKERS: usize = 16;

/// As [`crate::copy::seal()`].
pub(in crate::copy) fn seal(request: &Request) -> Result<(), Error> {
    if request.options.dry_run {
        return Ok(());
    }
    let places = Places::of_destination(request);
    let failed = |e| Error::system("record what the run left in", &places, e);
    let root = match Dir::open(&places) {
        // The run itself removed it, with all that was to be recorded.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        root => root.map_err(failed)?,
    };
    root.sync_filesystem().map_err(failed)?;
    let Some(state) = State::open(&root).map_err(failed)? else { return Ok(()) };
    let own = manifest::file_name(&owner_of(request));
    let filter = Filter::new(&request.options)?;
    for owner in state.owners().map_err(failed)? {
        let Reading::Read(old) = Manifest::read(&state.manifests, &owner).map_err(failed)? else { continue };
        let layers = Layers::read(&places, &owner, old.head.since).map_err(failed)?;
        let sealing = Sealing {
            root: &root,
            old: &old,
            layers: &layers,
            filter: (owner == own).then_some(&filter),
            follow: request.options.follow_destination_links.then_some(places.as_path()),
        };
        sealing.write(&state, &owner).map_err(failed)?;
        state.run_is_over(&owner).map_err(failed)?;
    }
    Ok(())
}

/// What one owner's manifest is brought up to date with.
struct Sealing<'a> {
    root: &'a Dir,
    old: &'a Manifest,
    layers: &'a Layers,
    /// What took no part in the copy is none of this run's.
    filter: Option<&'a Filter>,
    follow: Option<&'a std::path::Path>,
}

#[derive(Clone, Default)]
struct Buffers {
    old: Vec<u8>,
    new: Vec<u8>,
    data: Vec<u8>,
}

impl Sealing<'_> {
    fn write(&self, state: &State, owner: &OsStr) -> io::Result<()> {
        let spill = Spill::default();
        let pool = Pool::new((0..self.old.len()).collect::<Vec<_>>());
        pool.run(vec![Buffers::default(); WORKERS], |buffers, at| {
            self.block(at, &spill, buffers)
                .map_err(|e| Error::system("read", OsStr::from_bytes(self.old.path(at)), e))
        })
        .map_err(io::Error::other)?;
        let sorted = spill.sort();
        if sorted.same_as(self.old)? {
            return Ok(());
        }
        let blocks = sorted.directories().map(|(path, _, range)| {
            let mut block = Vec::new();
            sorted.load(range, self.old, &mut block)?;
            Ok((Box::from(path), block))
        });
        manifest::write(&state.manifests, owner, &self.old.head, blocks)
    }

    fn block(&self, at: usize, spill: &Spill, buffers: &mut Buffers) -> io::Result<()> {
        let path = self.old.path(at);
        self.old.load(at, &mut buffers.old)?;
        buffers.new.clear();
        let dir = open(self.root, path, self.follow)?.map(OwnedFd::from);
        let claims = self.layers.directory(path)?;
        for record in records(&buffers.old) {
            let is_dir = record.kind == Kind::Dir;
            let skipped = self
                .filter
                .is_some_and(|filter| filter.skips_below(path) || filter.skips(path, &record.name, is_dir));
            let name = std::ffi::CString::new(record.name.to_vec())?;
            // What is the user's, another owner's, or no longer the image's keeps the base that it is compared with.
            let stays = is_dir || record.flags.kept || record.flags.orphan || claims.later(&name).is_some();
            let left = if stays || skipped {
                None
            } else {
                let left = as_it_is(dir.as_ref(), &record, self.old.written, &mut buffers.data)?;
                Some(left).filter(|left: &Left<'_>| *left != record.left)
            };
            match left {
                Some(left) => Record { left, ..record }.write(&mut buffers.new),
                None => record.write(&mut buffers.new),
            }
        }
        let block = if buffers.new == buffers.old {
            Block::Old(at)
        } else {
            Block::New { records: &buffers.new, orphans: true }
        };
        spill.add(path, block, || overflow(self.root))
    }
}

/// Takes what does not fit into memory: on the volume, in the state directory.
fn overflow(root: &Dir) -> io::Result<std::fs::File> {
    manifest::overflow(&root.open_dir(crate::copy::state::STATE)?)
}

/// Opens a directory of the destination; `None` where it is not there, or not a directory.
pub(in crate::copy) fn open(
    root: &Dir,
    path: &[u8],
    follow: Option<&std::path::Path>,
) -> io::Result<Option<Dir>> {
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
