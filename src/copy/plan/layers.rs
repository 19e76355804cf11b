//! The other owners of entries on the volume: of this destination, of one around it, or of one inside it. Copies are
//! layers: if two have a name, the later one owns it. Reads manifests; changes nothing.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use rustix::fs::{Access, AtFlags, Mode, OFlags};

use crate::copy::io::path::join;
use crate::copy::manifest::{self, Kind, Manifest, Reading, Record, records};
use crate::copy::plan::spelling::fold;
use crate::copy::state::{MANIFESTS, STATE, is_caseless};
use crate::support::rooted_dir::Dir;

/// Where the tree of a manifest is, relative to the destination.
#[derive(Debug)]
enum At {
    Here,
    /// The destination is at this path of the tree.
    Above(Vec<u8>),
    /// The tree is at this path of the destination.
    Below(Vec<u8>),
}

#[derive(Debug)]
struct Layer {
    at: At,
    /// It came after the copy at hand.
    later: bool,
    manifest: Manifest,
    /// On a case-insensitive volume: the blocks by case-folded path.
    folded: Option<HashMap<String, Vec<usize>>>,
}

impl At {
    /// The path in the tree of a directory of the destination; `None` if the tree does not contain it.
    fn path_of(&self, dir: &[u8]) -> Option<Vec<u8>> {
        match self {
            At::Here => Some(dir.to_vec()),
            At::Above(prefix) => Some(join_paths(prefix, dir)),
            At::Below(prefix) => {
                let below = dir.strip_prefix(&**prefix)?;
                let rest = Some(below).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))?;
                Some(rest.strip_prefix(b"/").unwrap_or(rest).to_vec())
            }
        }
    }
}

impl Layer {
    /// The blocks for a directory of the destination; more than one only if it has several spellings.
    fn find(&self, dir: &[u8]) -> Vec<usize> {
        let Some(path) = self.at.path_of(dir) else { return Vec::new() };
        match &self.folded {
            None => self.manifest.find(&path).into_iter().collect(),
            Some(folded) => folded.get(&fold(&path)).cloned().unwrap_or_default(),
        }
    }
}

fn join_paths(prefix: &[u8], path: &[u8]) -> Vec<u8> {
    if path.is_empty() { prefix.to_vec() } else { join(prefix, path) }
}

#[derive(Debug, Default)]
struct Found {
    layers: Vec<Layer>,
    /// Manifests that cannot be read, by name: what their owners have is unknown.
    unreadable: Vec<(At, OsString)>,
    /// The directories that were checked for being destinations of their own.
    checked: HashSet<Box<[u8]>>,
}

/// The destination.
#[derive(Debug)]
struct Place {
    root: Dir,
    path: PathBuf,
    /// Symbolic links in it lead to directories of it.
    follow: bool,
}

impl Place {
    /// A directory of it, if there is one.
    fn open(&self, rel: &[u8]) -> Option<Dir> {
        let rel = OsStr::from_bytes(rel);
        if self.follow { Dir::open(self.path.join(rel)) } else { self.root.open_dir(rel) }.ok()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// When the copy at hand first came. A new one is later than all others.
    since: u64,
    found: RwLock<Found>,
    /// Where destinations inside this one are looked for; `None` if there is no destination yet.
    place: Option<Place>,
    /// The volume is case-insensitive.
    caseless: bool,
    /// The owners that copy after this one in the same run.
    later: Option<Vec<Vec<u8>>>,
    any: AtomicBool,
}

impl Layers {
    /// Reads the manifests of the destination, except the one called `own`, and of the directories around it. `later`
    /// lists the owners that copy after this one in the same run; without a run, those that first came later.
    pub(crate) fn read(
        destination: &Path,
        own: &OsStr,
        since: Option<u64>,
        later: Option<&[Vec<u8>]>,
    ) -> io::Result<Self> {
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        let Ok(real) = destination.canonicalize() else { return Ok(Self::default()) };
        let device = rustix::fs::stat(&real)?.st_dev;
        for above in real.ancestors() {
            if rustix::fs::stat(above).map_or(true, |stat| stat.st_dev != device) {
                break;
            }
            let Ok(dir) = Dir::open(above) else { continue };
            let prefix = real.strip_prefix(above).unwrap_or(&real).as_os_str().as_bytes();
            let at = || if prefix.is_empty() { At::Here } else { At::Above(prefix.to_vec()) };
            let skipped = prefix.is_empty().then_some(own);
            let (read, torn) = manifests(&dir, skipped)?;
            found.extend(read.into_iter().map(|manifest| (at(), manifest)));
            unreadable.extend(torn.into_iter().map(|name| (at(), name)));
        }
        let latest = found.iter().filter_map(|(_, manifest)| manifest.head.since).max().unwrap_or(0);
        let before = |(at, manifest): &&(At, Manifest)| {
            matches!(at, At::Here) && later.is_some_and(|later| !later.contains(&manifest.head.owner))
        };
        let here = found.iter().filter(before).filter_map(|(_, manifest)| manifest.head.since).max();
        let since = match (since, later) {
            // Within a run the order of its copies counts, and owners outside the run come before them.
            (Some(since), _) if here.is_some_and(|here| since < here) => None,
            (since, _) => since,
        };
        let since = since.unwrap_or_else(|| now().max(latest + 1));
        let place = Dir::open(&real).ok().map(|root| Place { root, path: real, follow: false });
        let caseless = place.as_ref().is_some_and(|place| is_caseless(&place.root));
        let this = Self { since, caseless, later: later.map(<[_]>::to_vec), place, ..Self::default() };
        this.add(b"", found, unreadable);
        Ok(this)
    }

    /// The same, for a copy that follows symbolic links on the volume.
    pub(crate) fn following(mut self, follow: bool) -> Self {
        if let Some(place) = &mut self.place {
            place.follow = follow;
        }
        self
    }

    /// Adds what was found in a directory, unless another thread has done so.
    fn add(&self, path: &[u8], found: Vec<(At, Manifest)>, unreadable: Vec<(At, OsString)>) {
        let is_later = |at: &At, manifest: &Manifest| match (&self.later, at) {
            (Some(later), _) if later.contains(&manifest.head.owner) => true,
            (Some(_), At::Here) => false,
            _ => manifest.head.since.is_some_and(|since| since > self.since),
        };
        let folded = |manifest: &Manifest| {
            let mut folded: HashMap<String, Vec<usize>> = HashMap::new();
            (0..manifest.len()).for_each(|at| folded.entry(fold(manifest.path(at))).or_default().push(at));
            folded
        };
        let any = !found.is_empty() || !unreadable.is_empty();
        let layers = found.into_iter().map(|(at, manifest)| Layer {
            later: is_later(&at, &manifest),
            folded: self.caseless.then(|| folded(&manifest)),
            at,
            manifest,
        });
        let mut all = self.found.write().unwrap_or_else(PoisonError::into_inner);
        if all.checked.insert(path.into()) {
            all.layers.extend(layers);
            all.unreadable.extend(unreadable);
        }
        self.any.fetch_or(any, Ordering::AcqRel);
    }

    /// Checks whether a directory on the volume is a destination of its own, and adds its owners.
    pub(crate) fn discover(&self, path: &[u8], dir: impl AsFd) -> io::Result<()> {
        let has_state = rustix::fs::accessat(&dir, STATE, Access::EXISTS, AtFlags::empty()).is_ok();
        let (found, unreadable) = if has_state {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            manifests(&Dir::from_fd(rustix::fs::openat(dir, c".", flags, Mode::empty())?), None)?
        } else {
            Default::default()
        };
        let at = || At::Below(path.to_vec());
        let found = found.into_iter().map(|manifest| (at(), manifest)).collect();
        self.add(path, found, unreadable.into_iter().map(|name| (at(), name)).collect());
        Ok(())
    }

    /// Checks every directory on the way to a path that was not checked yet. The walk checks those that the image has.
    fn discover_above(&self, path: &[u8]) -> io::Result<()> {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in slashes.chain((!path.is_empty()).then_some(path.len())) {
            let above = &path[..end];
            if self.found.read().unwrap_or_else(PoisonError::into_inner).checked.contains(above) {
                continue;
            }
            let Some(dir) = self.place.as_ref().and_then(|place| place.open(above)) else { break };
            self.discover(above, dir)?;
        }
        Ok(())
    }

    /// A manifest that cannot be read.
    pub(crate) fn unreadable(&self) -> Option<OsString> {
        self.found
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .unreadable
            .first()
            .map(|(_, name)| name.clone())
    }

    /// When this owner first came.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// What the other owners have in a directory.
    pub(crate) fn directory(&self, dir: &[u8]) -> io::Result<Claims> {
        self.discover_above(dir)?;
        let mut claims = Claims { caseless: self.caseless, ..Claims::default() };
        if !self.any.load(Ordering::Acquire) {
            return Ok(claims);
        }
        let mut block = Vec::new();
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        claims.is_unknown = found.unreadable.iter().any(|(at, _)| at.path_of(dir).is_some());
        for layer in &found.layers {
            for at in layer.find(dir) {
                layer.manifest.load(at, &mut block)?;
                let all = records(&block).map(Record::into_owned).map(|record| (layer.later, record));
                claims.all.extend(all);
            }
        }
        claims.all.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        Ok(claims)
    }
}

/// What the other owners have in one directory.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    all: Vec<(bool, Record<'static>)>,
    caseless: bool,
    /// Another owner's manifest cannot be read: any name may be its.
    pub(crate) is_unknown: bool,
}

impl Claims {
    pub(crate) fn into_records(self) -> impl Iterator<Item = Record<'static>> {
        self.all.into_iter().map(|(_, record)| record)
    }

    fn of(&self, name: &[u8]) -> impl Iterator<Item = &(bool, Record<'static>)> {
        let folded = self.caseless.then(|| fold(name));
        let (start, len) = if folded.is_some() {
            (0, self.all.len())
        } else {
            let start = self.all.partition_point(|(_, record)| *record.name < *name);
            (start, self.all[start..].partition_point(|(_, record)| *record.name == *name))
        };
        let same =
            move |record: &Record<'_>| folded.as_ref().is_none_or(|folded| fold(&record.name) == *folded);
        self.all[start..start + len].iter().filter(move |(_, record)| same(record))
    }

    /// The records of a name, of all owners.
    pub(crate) fn records(&self, name: &[u8]) -> impl Iterator<Item = &Record<'static>> {
        self.of(name).map(|(_, record)| record)
    }

    /// Whether another owner's source has this name.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.records(name).any(|record| !record.flags.orphan)
    }

    /// Whether another owner's source has the same entry, or also a directory.
    pub(crate) fn has_same(&self, record: &Record<'_>) -> bool {
        let same = |other: &Record<'_>| (other.kind, &other.content) == (record.kind, &record.content);
        self.records(&record.name).any(|other| !other.flags.orphan && same(other))
    }

    /// Whether a later owner has this name in its source.
    pub(crate) fn has_later(&self, name: &[u8]) -> bool {
        self.of(name).any(|(later, record)| *later && !record.flags.orphan)
    }

    /// The type that a later owner has under this name.
    pub(crate) fn later(&self, name: &CStr) -> Option<Kind> {
        let mut later = self.of(name.to_bytes()).filter(|(later, record)| *later && !record.flags.orphan);
        later.next().map(|(_, record)| record.kind)
    }
}

/// The manifests of a destination, and the names of those that cannot be read.
fn manifests(root: &Dir, skipped: Option<&OsStr>) -> io::Result<(Vec<Manifest>, Vec<OsString>)> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    let Ok(dir) = root.open_dir(Path::new(STATE).join(MANIFESTS)) else { return Ok((found, unreadable)) };
    for (name, _) in dir.entries()? {
        if Some(&*name) == skipped || name.as_bytes().contains(&b'.') {
            continue;
        }
        match Manifest::read(&dir, &name) {
            Ok(Reading::Read(manifest)) => found.push(manifest),
            Ok(Reading::Absent) => {}
            Ok(Reading::Unusable) | Err(_) => unreadable.push(name),
        }
    }
    Ok((found, unreadable))
}

/// When an owner first copied into a destination, or for a single file into its directory.
pub(crate) fn came(destination: &Path, owner: &[u8]) -> Option<u64> {
    let parent =
        destination.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = if destination.is_dir() { destination } else { parent };
    let manifests = Dir::open(directory.join(STATE).join(MANIFESTS)).ok()?;
    match Manifest::read(&manifests, &manifest::file_name(owner)).ok()? {
        Reading::Read(manifest) => manifest.head.since,
        Reading::Absent | Reading::Unusable => None,
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
