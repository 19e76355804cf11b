//! Checks before the first byte that the copy fits: adds up what changes and compares it with the free space. Replaced
//! files count in full, because their space is freed only after the new file has its name. An estimate: it knows
//! neither the filesystem's own blocks nor quotas.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::copy::control::Control;
use crate::copy::error::{Cause, Error};
use crate::copy::io::listing::{self, Listing};
use crate::copy::io::metadata::time_of;
use crate::copy::io::mount::is_mount;
use crate::copy::io::path::{join, shown};
use crate::copy::io::pool::Pool;
use crate::copy::io::sight::Sight;
use crate::copy::io::transfer;
use crate::copy::manifest::{Kind, Record, records};
use crate::copy::plan::filter::Filter;
use crate::copy::plan::known::Known;
use crate::copy::plan::spelling::fold;
use crate::copy::plan::stat_cache::StatCache;
use crate::copy::stage::staging::Leftovers;
use crate::copy::state::is_caseless;

/// Checks once whether the copy fits.
pub(crate) struct Space<'a> {
    known: &'a Known<'a>,
    control: &'a Control<'a>,
    /// Keeps what is seen of the source for the copy.
    seen: &'a StatCache,
    workers: usize,
    fits: OnceLock<bool>,
}

#[derive(Default)]
struct Totals {
    files: AtomicU64,
    bytes: AtomicU64,
    needed_bytes: AtomicU64,
    needed_inodes: AtomicU64,
    /// Block size in bytes.
    block: u64,
}

struct Task {
    parent: Arc<OwnedFd>,
    name: CString,
    path: Vec<u8>,
    shared: bool,
}

struct Scanner {
    listing: Listing,
    dirents: Vec<std::mem::MaybeUninit<u8>>,
    old: Vec<u8>,
    files: Vec<Option<Sight>>,
}

/// What one directory adds to the totals.
#[derive(Default)]
struct Sums {
    files: u64,
    bytes: u64,
    needed: u64,
    inodes: u64,
}

impl<'a> Space<'a> {
    pub(crate) fn new(
        known: &'a Known<'a>,
        control: &'a Control<'a>,
        seen: &'a StatCache,
        workers: usize,
    ) -> Self {
        Self { known, control, seen, workers, fits: OnceLock::new() }
    }

    /// Checks, before the first byte is written, that the copy fits. Concurrent callers wait for the one that checks.
    pub(crate) fn ensure(&self, leftovers: &Leftovers) -> Result<(), Error> {
        let mut outcome = Ok(());
        let fits = *self.fits.get_or_init(|| {
            outcome = self.check(leftovers);
            outcome.is_ok()
        });
        // The callers that waited also stop; the one that checked reports the reason.
        if outcome.is_ok() && !fits { Err(Error::cancelled()) } else { outcome }
    }

    /// Compares needed and free space, and sets the totals for progress.
    fn check(&self, leftovers: &Leftovers) -> Result<(), Error> {
        let roots = self.known.roots;
        let path = &roots.path;
        let free = rustix::fs::fstatvfs(&roots.destination).map_err(|e| Error::system("stat", path, e))?;
        if roots.single.is_some() {
            return Ok(());
        }
        let Some(totals) = self.scan_all(free.f_frsize.max(512))? else { return Ok(()) };
        let sum = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.control.counters.set_total(sum(&totals.files), sum(&totals.bytes));
        // A filesystem that reports no blocks says nothing; some network volumes report zeros.
        if self.known.options.ignore_space || free.f_blocks == 0 {
            return Ok(());
        }
        // Files staged by an earlier attempt are reused or removed.
        let staged = if leftovers.is_empty() { 0 } else { leftovers.bytes() };
        let available = free.f_bavail.saturating_mul(totals.block).saturating_add(staged);
        if sum(&totals.needed_bytes) > available {
            return Err(Error::space("space", path, sum(&totals.needed_bytes), available));
        }
        // Filesystems that create inodes on demand report a total of zero.
        if free.f_files > 0 && sum(&totals.needed_inodes) > free.f_favail {
            return Err(Error::space("inodes", path, sum(&totals.needed_inodes), free.f_favail));
        }
        Ok(())
    }

    /// Walks the whole source; `None` if it cannot be read, which is reported with its path when it is copied.
    fn scan_all(&self, block: u64) -> Result<Option<Totals>, Error> {
        let roots = self.known.roots;
        let Ok(root) = roots.source.reopen() else { return Ok(None) };
        let totals = Totals { block, ..Totals::default() };
        let shared = self.known.scope.shares.is_some();
        let first = Task { parent: Arc::new(root.into()), name: c".".to_owned(), path: Vec::new(), shared };
        let pool = Pool::new(vec![first]);
        let scanner = |_| Scanner {
            listing: Listing::default(),
            dirents: vec![std::mem::MaybeUninit::uninit(); 32 << 10],
            old: Vec::new(),
            files: Vec::new(),
        };
        let caseless = is_caseless(&roots.destination);
        let scanned = pool.run((0..self.workers).map(scanner).collect(), |scanner, task| {
            if self.control.cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            self.scan(&pool, scanner, &task, &totals).map_err(|e| Error::system("read", &roots.path, e))?;
            let filter = &self.known.scope.filter;
            if caseless { apart(filter, &task.path, &scanner.listing) } else { Ok(()) }
        });
        match scanned {
            Err(error) if matches!(error.cause(), Cause::Cancelled | Cause::Config) => Err(error),
            Err(_) => Ok(None),
            Ok(_) => Ok(Some(totals)),
        }
    }

    /// Adds up one directory, and creates tasks for its subdirectories.
    fn scan(
        &self,
        pool: &Pool<Task>,
        scanner: &mut Scanner,
        task: &Task,
        totals: &Totals,
    ) -> Result<(), Errno> {
        let dir = Arc::new(listing::open(&*task.parent, &*task.name)?);
        let itself = Sight::from(&rustix::fs::fstat(&*dir)?);
        scanner.listing.read(&*dir, &mut scanner.dirents)?;
        scanner.files.clear();
        scanner.files.resize(scanner.listing.len(), None);
        scanner.old.clear();
        if let Some(at) = self.known.old.find(&task.path)
            && self.known.old.load(at, &mut scanner.old).is_err()
        {
            scanner.old.clear();
        }
        let mut known = records(&scanner.old).peekable();
        let mut sums = Sums::default();
        let scope = self.known.scope;
        let shares = scope.shares.as_ref().filter(|_| task.shared);
        for at in 0..scanner.listing.len() {
            let (name, kind) = scanner.listing.get(at);
            while known.next_if(|record| *record.name < *name.to_bytes()).is_some() {}
            let record = known.next_if(|record| *record.name == *name.to_bytes());
            let is_dir = kind == FileType::Directory;
            if scope.filter.skips(&task.path, name.to_bytes(), is_dir) {
                continue;
            }
            let mine = shares.is_none_or(|shares| shares.is_mine(&task.path, name.to_bytes(), is_dir));
            match kind {
                FileType::Directory => {
                    let path = join(&task.path, name.to_bytes());
                    if is_mount(&self.known.roots.destination, &*path) {
                        continue;
                    }
                    let shared = shares.is_some_and(|shares| shares.is_shared(&path));
                    if mine || shared {
                        pool.push(Task { parent: dir.clone(), name: name.to_owned(), path, shared });
                    }
                    if mine && record.is_none() {
                        sums.inodes += 1;
                        sums.needed += totals.block;
                    }
                }
                _ if !mine => {}
                FileType::RegularFile => {
                    let stat = rustix::fs::statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    if stat.st_nlink == 1 && !transfer::is_large(&stat) {
                        scanner.files[at] = Some(Sight::from(&stat));
                    }
                    sums.add_file(&stat, record.filter(|_| !self.known.emptied), totals.block);
                }
                FileType::Symlink if record.is_none() => sums.inodes += 1,
                _ => {}
            }
        }
        self.seen.keep(&task.path, itself, &scanner.listing, &scanner.files);
        totals.add(&sums);
        Ok(())
    }
}

impl Sums {
    fn add_file(&mut self, stat: &Stat, record: Option<Record<'_>>, block: u64) {
        let size = transfer::size(stat);
        self.files += 1;
        self.bytes += size;
        let same = record.is_some_and(|record| {
            record.kind == Kind::File && record.size == size && record.mtime == time_of(stat)
        });
        if same {
            return;
        }
        self.inodes += 1;
        let whole = size.div_ceil(block) * block;
        let used = if transfer::is_sparse(stat) {
            whole.min(u64::try_from(stat.st_blocks).unwrap_or(0) * 512)
        } else {
            whole
        };
        // Each hard link counts its share, because some may be outside the tree.
        self.needed += used / u64::from(u32::try_from(stat.st_nlink.max(1)).unwrap_or(1));
    }
}

impl Totals {
    fn add(&self, sums: &Sums) {
        for (counter, n) in [
            (&self.files, sums.files),
            (&self.bytes, sums.bytes),
            (&self.needed_bytes, sums.needed),
            (&self.needed_inodes, sums.inodes),
        ] {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }
}

/// Refuses two names that are the same on a case-insensitive volume.
fn apart(filter: &Filter, dir: &[u8], listing: &Listing) -> Result<(), Error> {
    let mut seen = std::collections::HashMap::new();
    for at in 0..listing.len() {
        let (name, kind) = listing.get(at);
        if filter.skips(dir, name.to_bytes(), kind == FileType::Directory) {
            continue;
        }
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
