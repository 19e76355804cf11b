//! Decides which of several copiers gets an entry of the image. Every copier lists the same image and independently
//! comes to the same result. Knows the image's directories, not the volume.
//!
//! The tree, weighed by number of entries, is cut into pieces that are a fraction of a copier's fair share. A light
//! directory is a piece with everything below it, and is copied as without shards. A heavier one is *shared*: all
//! copiers walk through it, each light subdirectory is a piece, and all its other entries together are one more piece.
//! If those alone exceed a fair share, each is assigned by the hash of its path.
//!
//! The pieces are dealt heaviest first, equal ones in the order of their paths' hashes, each to the copier with the
//! least so far. An entry that was not listed (it is new in the source, or from an old release) goes with the other
//! entries of its directory; a subdirectory goes by the hash of its path.
//!
//! Bytes are not counted: a listing has no sizes, and every copier would have to ask for those of all files. If a few
//! files hold most of the bytes, the shares are even in entries only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use rustix::fs::FileType;
use tokio_util::sync::CancellationToken;

use crate::copy::error::Error;
use crate::copy::io::listing::{self, Listing};
use crate::copy::io::path::{join, parent};
use crate::copy::io::pool::Pool;
use crate::copy::options::Shard;
use crate::copy::plan::filter::Filter;
use crate::support::mutex;
use crate::support::rooted_dir::Dir;

/// A piece is at most a fair share divided by this, so that the last pieces even the shares out.
const PIECES: u64 = 4;

/// The assignment of entries to copiers.
#[derive(Debug)]
pub(crate) struct Shares {
    shard: Shard,
    /// Shared directories, and directories that are pieces, sorted by path. What is below a piece is not listed.
    places: Places,
    /// A hash of the listing. Copiers with another one have assigned entries differently.
    pub(crate) listing: String,
}

#[derive(Debug, Default)]
struct Places(Vec<(Box<[u8]>, Place)>);

impl Places {
    fn get(&self, path: &[u8]) -> Option<&Place> {
        let at = self.0.binary_search_by(|(other, _)| (**other).cmp(path)).ok()?;
        Some(&self.0[at].1)
    }
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// The copier that has the directory's own entry and, if it is shared, its entries other than directories.
    owner: u32,
    /// Number of entries of a piece, itself included.
    weight: u64,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Piece,
    Shared,
    /// Shared, and so large that each entry is assigned by its hash.
    Scattered,
}

/// A directory of the image, and the number of its entries other than directories.
type Listed = (Box<[u8]>, u64);

impl Shares {
    /// Lists the source and assigns its entries.
    pub(crate) fn of(
        shard: Shard,
        source: &Dir,
        filter: &Filter,
        (workers, cancel): (usize, &CancellationToken),
        failed: impl Fn(&[u8], rustix::io::Errno) -> Error + Sync,
    ) -> Result<Self, Error> {
        let root = source.reopen().map_err(|e| {
            failed(b"", rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::IO))
        })?;
        let pool = Pool::new(vec![(Arc::new(OwnedFd::from(root)), c".".to_owned(), Vec::new())]);
        let listed: Mutex<Vec<Listed>> = Mutex::default();
        let state = || (Listing::default(), vec![std::mem::MaybeUninit::uninit(); 32 << 10]);
        pool.run(
            (0..workers).map(|_| state()).collect(),
            |(listing, buffer), (parent, name, path): (Arc<OwnedFd>, std::ffi::CString, Vec<u8>)| {
                if cancel.is_cancelled() {
                    return Err(Error::cancelled());
                }
                let dir = listing::open(&*parent, &*name)
                    .and_then(|dir| listing.read(&dir, buffer).map(|()| Arc::new(dir)))
                    .map_err(|e| failed(&path, e))?;
                let (mut others, mut below) = (0, Vec::new());
                for at in 0..listing.len() {
                    let (name, kind) = listing.get(at);
                    let is_dir = kind == FileType::Directory;
                    if filter.skips(&path, name.to_bytes(), is_dir) {
                        continue;
                    }
                    if is_dir {
                        below.push((dir.clone(), name.to_owned(), join(&path, name.to_bytes())));
                    } else {
                        others += 1;
                    }
                }
                listing.shrink();
                pool.push_all(&mut below);
                mutex::lock(&listed).push((path.into(), others));
                Ok(())
            },
        )?;
        Ok(Self::deal(shard, mutex::into_inner(listed)))
    }

    /// Assigns the listed directories, by the rule above.
    fn deal(shard: Shard, mut listed: Vec<Listed>) -> Self {
        listed.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        let mut weights: Vec<u64> = listed.iter().map(|(_, others)| 1 + others).collect();
        let mut has_below = vec![false; listed.len()];
        let find = |path: &[u8]| listed.binary_search_by(|(other, _)| (**other).cmp(path)).ok();
        // Backwards: children come after their parent.
        for at in (0..listed.len()).rev() {
            let (path, others) = &listed[at];
            hasher.update(path).update(&[0]).update(&others.to_le_bytes());
            if let Some(parent) = parent(path).and_then(find) {
                weights[parent] += weights[at];
                has_below[parent] = true;
            }
        }
        let count = u64::from(shard.count);
        let fair = weights.first().map_or(0, |total| total.div_ceil(count));
        let mut places = Places::default();
        let mut pieces = Vec::new();
        let mut scattered = 0;
        // A parent comes before its children, so that its place is known.
        for (at, (path, others)) in listed.iter().enumerate() {
            let goes_along = parent(path)
                .is_some_and(|parent| places.get(parent).is_none_or(|place| place.role == Role::Piece));
            if goes_along {
                continue;
            }
            let role = match path.is_empty() || has_below[at] && weights[at] > fair / PIECES {
                _ if *others > fair => Role::Scattered,
                true => Role::Shared,
                false => Role::Piece,
            };
            let weight = match role {
                Role::Piece => weights[at],
                Role::Shared => 1 + others,
                Role::Scattered => 1,
            };
            scattered += if role == Role::Scattered { *others } else { 0 };
            pieces.push((Reverse(weight), hash(path), places.0.len()));
            places.0.push((path.clone(), Place { owner: 0, weight, role }));
        }
        pieces.sort_unstable();
        // Scattered entries are even on their own.
        let mut loads: BinaryHeap<_> =
            (0..shard.count).map(|index| Reverse((scattered / count, index))).collect();
        for (Reverse(weight), _, at) in pieces {
            if let Some(mut least) = loads.peek_mut() {
                places.0[at].1.owner = least.0.1;
                least.0.0 += weight;
            }
        }
        let listing = hasher.finalize().to_hex()[..8].to_owned();
        Self { shard, places, listing }
    }

    /// Whether all copiers walk through this directory.
    pub(crate) fn is_shared(&self, path: &[u8]) -> bool {
        path.is_empty() || self.places.get(path).is_some_and(|place| place.role != Role::Piece)
    }

    /// Whether an entry of a shared directory is this copier's: its record and, unless it is a shared directory,
    /// everything below it.
    pub(crate) fn is_mine(&self, dir: &[u8], name: &[u8], is_dir: bool) -> bool {
        self.owner(dir, name, is_dir) == self.shard.index
    }

    /// Whether this copier sets a shared directory's metadata.
    pub(crate) fn completes(&self, path: &[u8]) -> bool {
        self.places.get(path).is_none_or(|place| place.owner == self.shard.index)
    }

    /// The number of entries in a piece.
    pub(crate) fn weight(&self, path: &[u8]) -> u64 {
        self.places.get(path).map_or(0, |place| place.weight)
    }

    fn owner(&self, dir: &[u8], name: &[u8], is_dir: bool) -> u32 {
        let path = join(dir, name);
        let by_hash = || u32::try_from(hash(&path) % u64::from(self.shard.count)).unwrap_or(0);
        if is_dir {
            return self.places.get(&path).map_or_else(by_hash, |place| place.owner);
        }
        match self.places.get(dir) {
            Some(Place { owner, role: Role::Piece | Role::Shared, .. }) => *owner,
            Some(Place { role: Role::Scattered, .. }) | None => by_hash(),
        }
    }
}

fn hash(path: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(path).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Directories with their number of files: one with most of the tree, one with many files, and many small ones.
    fn listed(large: u64, flat: u64) -> Vec<Listed> {
        let mut all = vec![(String::new(), 3), ("modules".to_owned(), 0), ("modules/flat".to_owned(), flat)];
        for n in 0..200 {
            all.push((format!("modules/m{n}"), n % 5));
            all.push((format!("modules/m{n}/lib"), n % 7));
        }
        all.push(("modules/large".to_owned(), 1));
        for n in 0..30 {
            all.push((format!("modules/large/part-{n}"), large));
            all.push((format!("modules/large/part-{n}/deep"), 1));
        }
        all.into_iter().map(|(path, others)| (path.into_bytes().into(), others)).collect()
    }

    /// The number of entries of each copier, found by walking as the copy does: stops at another's directory unless it
    /// is shared; everything below an own directory is its own.
    fn walked(listed: &[Listed], count: u32) -> Vec<u64> {
        let all = (0..count).map(|index| Shares::deal(Shard { index, count }, listed.to_vec()));
        all.map(|shares| {
            let mut has: HashMap<&[u8], bool> = HashMap::from([(&b""[..], true)]);
            let mut entries = 0;
            for (path, others) in listed {
                if let Some(parent) = parent(path) {
                    let name = path.strip_prefix(parent).unwrap();
                    let name = name.strip_prefix(b"/").unwrap_or(name);
                    // Not walked into.
                    let Some(&through) = has.get(parent) else { continue };
                    let mine = !through || shares.is_mine(parent, name, true);
                    entries += u64::from(mine);
                    if through && shares.is_shared(path) {
                        has.insert(path, true);
                    } else if mine {
                        has.insert(path, false);
                    }
                }
                match has.get(&**path) {
                    Some(false) => entries += others,
                    Some(true) => {
                        let name = |n: u64| format!("file-{n}").into_bytes();
                        entries +=
                            (0..*others).filter(|n| shares.is_mine(path, &name(*n), false)).count() as u64;
                    }
                    None => {}
                }
            }
            entries
        })
        .collect()
    }

    #[test]
    fn every_entry_belongs_to_exactly_one_copier_and_the_shares_are_even() {
        for (large, flat) in [(20, 30), (3, 200), (1, 20_000), (500, 0)] {
            let mut listed = listed(large, flat);
            listed.sort_unstable();
            let total: u64 = listed.iter().map(|(_, others)| 1 + others).sum::<u64>() - 1;
            for count in [1, 2, 3, 8, 16] {
                let shares = walked(&listed, count);
                // Each entry exactly once.
                assert_eq!(shares.iter().sum::<u64>(), total, "{count} copiers: {shares:?}");
                let (fair, most) = (total / u64::from(count), *shares.iter().max().unwrap());
                assert!(most <= fair + fair / 10 + 10, "{most} of {total} for {count} copiers: {shares:?}");
            }
        }
    }

    #[test]
    fn what_was_not_listed_belongs_to_exactly_one_copier_too() {
        let all: Vec<_> =
            (0..4).map(|index| Shares::deal(Shard { index, count: 4 }, listed(20, 20_000))).collect();
        for (dir, name, is_dir) in [
            (&b""[..], &b"came-later"[..], true),
            (b"", b"came-later", false),
            (b"modules", b"came-later", true),
            (b"modules/flat", b"came-later", false),
            (b"modules/large", b"dropped-long-ago", false),
        ] {
            let owners = all.iter().filter(|shares| shares.is_mine(dir, name, is_dir)).count();
            assert_eq!(owners, 1, "{}", name.escape_ascii());
        }
        // The large flat directory is shared entry by entry; small ones go as a whole.
        assert!(
            all.iter().all(|shares| shares.is_shared(b"modules/flat") && !shares.is_shared(b"modules/m7"))
        );
    }

    #[test]
    fn the_same_listing_is_dealt_the_same_way_and_another_has_another_name() {
        let deal = |mut listed: Vec<Listed>| {
            listed.reverse();
            Shares::deal(Shard { index: 0, count: 8 }, listed)
        };
        let (one, two) = (deal(listed(20, 30)), Shares::deal(Shard { index: 1, count: 8 }, listed(20, 30)));
        assert_eq!(one.listing, two.listing);
        for (path, place) in &one.places.0 {
            assert_eq!(place.owner, two.places.get(path).unwrap().owner, "{}", path.escape_ascii());
        }
        assert_ne!(one.listing, deal(listed(20, 31)).listing);
    }
}
