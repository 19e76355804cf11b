//! Does it fit? Before the first byte is written, the sizes of what changes are added up and compared with what the
//! volume has free. What is replaced is counted in full, as the old content is freed only after the new has its
//! name. An estimate: blocks that the filesystem needs for itself are not in it, and a quota is not seen.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::copy::engine::Engine;
use crate::copy::error::Error;
use crate::copy::io::listing::{self, Listing};
use crate::copy::io::metadata::time_of;
use crate::copy::io::path::{join, shown};
use crate::copy::io::pool::Pool;
use crate::copy::io::transfer;
use crate::copy::manifest::{Kind, records};
use crate::copy::plan::spelling::fold;
use crate::copy::plan::stat_cache::Sight;
use crate::copy::state::is_caseless;

#[derive(Default)]
struct Totals {
    files: AtomicU64,
    bytes: AtomicU64,
    needed_bytes: AtomicU64,
    needed_inodes: AtomicU64,
}

struct Task {
    parent: Arc<OwnedFd>,
    name: std::ffi::CString,
    path: Vec<u8>,
    shared: bool,
}

struct Scanner {
    listing: Listing,
    dirents: Vec<std::mem::MaybeUninit<u8>>,
    old: Vec<u8>,
    files: Vec<Option<Sight>>,
}

/// Compares what the copy needs with what there is, and sets the totals that progress is measured by.
pub(in crate::copy) fn check(engine: &Engine<'_>) -> Result<(), Error> {
    let path = &engine.to;
    let free = rustix::fs::fstatvfs(&engine.destination).map_err(|e| Error::system("stat", path, e))?;
    let block = free.f_frsize.max(512);
    let totals = Totals::default();
    if engine.single.is_some() {
        return Ok(());
    }
    let Ok(root) = engine.source.reopen() else { return Ok(()) };
    let pool = Pool::new(vec![Task {
        parent: Arc::new(root.into()),
        name: c".".to_owned(),
        path: Vec::new(),
        shared: engine.shares.is_some(),
    }]);
    let scanners = engine.workers().into_iter().map(|worker| Scanner {
        listing: worker.listing,
        dirents: worker.dirents,
        old: worker.old,
        files: Vec::new(),
    });
    let caseless = is_caseless(&engine.destination);
    let scanned = pool.run(scanners.collect(), |scanner, task| {
        if engine.cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        // What cannot be read here fails, with its path, when it is copied; then the estimate is of no use.
        scan(engine, &pool, scanner, &task, block, &totals).map_err(|e| Error::system("read", path, e))?;
        if caseless { apart(&task.path, &scanner.listing) } else { Ok(()) }
    });
    match scanned {
        Err(error) if matches!(error.cause(), crate::copy::Cause::Cancelled | crate::copy::Cause::Config) => {
            return Err(error);
        }
        Err(_) => return Ok(()),
        Ok(_) => {}
    }
    let sum = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    engine.counters.set_total(sum(&totals.files), sum(&totals.bytes));
    // A filesystem without blocks says nothing: some network volumes answer zeros.
    if engine.request.options.ignore_space || free.f_blocks == 0 {
        return Ok(());
    }
    // What an earlier attempt staged is used again, or else goes.
    let staged = if engine.leftovers.is_empty() { 0 } else { engine.leftovers.bytes() };
    let available = free.f_bavail.saturating_mul(block).saturating_add(staged);
    if sum(&totals.needed_bytes) > available {
        return Err(Error::space("space", path, sum(&totals.needed_bytes), available));
    }
    // Filesystems that make inodes as needed say that they have none in all.
    if free.f_files > 0 && sum(&totals.needed_inodes) > free.f_favail {
        return Err(Error::space("inodes", path, sum(&totals.needed_inodes), free.f_favail));
    }
    Ok(())
}

/// Refuses two names that are one on a volume that does not tell upper from lower case.
fn apart(dir: &[u8], listing: &Listing) -> Result<(), Error> {
    let mut seen = std::collections::HashMap::new();
    for at in 0..listing.len() {
        let (name, _) = listing.get(at);
        if let Some(other) = seen.insert(fold(name.to_bytes()), name) {
            return Err(Error::request(format!(
                "{} and {} of the source are one name on this volume, which does not tell upper from lower case: \
                 rename or exclude one of them",
                shown(&join(dir, other.to_bytes())),
                shown(&join(dir, name.to_bytes()))
            )));
        }
    }
    Ok(())
}

fn scan(
    engine: &Engine<'_>,
    pool: &Pool<Task>,
    scanner: &mut Scanner,
    task: &Task,
    block: u64,
    totals: &Totals,
) -> Result<(), Errno> {
    let dir = Arc::new(listing::open(&*task.parent, &*task.name)?);
    let itself = Sight::from(&rustix::fs::fstat(&*dir)?);
    scanner.listing.read(&*dir, &mut scanner.dirents)?;
    scanner.files.clear();
    scanner.files.resize(scanner.listing.len(), None);
    let old = engine.old.find(&task.path);
    scanner.old.clear();
    if let Some(at) = old
        && engine.old.load(at, &mut scanner.old).is_err()
    {
        scanner.old.clear();
    }
    let mut known = records(&scanner.old).peekable();
    let (mut files, mut bytes, mut needed, mut inodes) = (0, 0, 0, 0);
    let shares = engine.shares.as_ref().filter(|_| task.shared);
    for at in 0..scanner.listing.len() {
        let (name, kind) = scanner.listing.get(at);
        while known.next_if(|record| *record.name < *name.to_bytes()).is_some() {}
        let record = known.next_if(|record| *record.name == *name.to_bytes());
        let is_dir = kind == FileType::Directory;
        if engine.filter.skips(&task.path, name.to_bytes(), is_dir) {
            continue;
        }
        let mine = shares.is_none_or(|shares| shares.is_mine(&task.path, name.to_bytes(), is_dir));
        match kind {
            FileType::Directory => {
                let path = join(&task.path, name.to_bytes());
                let shared = shares.is_some_and(|shares| shares.is_shared(&path));
                if mine || shared {
                    pool.push(Task { parent: dir.clone(), name: name.to_owned(), path, shared });
                }
                if mine && record.is_none() {
                    inodes += 1;
                    needed += block;
                }
            }
            _ if !mine => {}
            FileType::RegularFile => {
                let stat = rustix::fs::statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if stat.st_nlink == 1 && !transfer::is_large(&stat) {
                    scanner.files[at] = Some(Sight::from(&stat));
                }
                let size = transfer::size(&stat);
                files += 1;
                bytes += size;
                let same = record.is_some_and(|record| {
                    record.kind == Kind::File && record.size == size && record.mtime == time_of(&stat)
                });
                if !same || engine.emptied {
                    inodes += 1;
                    let whole = size.div_ceil(block) * block;
                    let links = stat.st_nlink.max(1);
                    let used = if transfer::is_sparse(&stat) {
                        whole.min(u64::try_from(stat.st_blocks).unwrap_or(0) * 512)
                    } else {
                        whole
                    };
                    // Each of several names counts its share: some of them may be outside the tree.
                    needed += used / u64::from(u32::try_from(links).unwrap_or(1));
                }
            }
            FileType::Symlink if record.is_none() => inodes += 1,
            _ => {}
        }
    }
    engine.seen.keep(&task.path, itself, &scanner.listing, &scanner.files);
    for (counter, n) in [
        (&totals.files, files),
        (&totals.bytes, bytes),
        (&totals.needed_bytes, needed),
        (&totals.needed_inodes, inodes),
    ] {
        counter.fetch_add(n, Ordering::Relaxed);
    }
    Ok(())
}
