//! The other owners of what is on the volume: of this destination, of one that this is inside of, of one inside this.
//! Copies are layers: of two that have a name, the one that came later owns it. Reads manifests; changes nothing.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::copy::io::path::join;
use crate::copy::manifest::{Kind, Manifest, Reading, Record, records};
use crate::copy::state::{MANIFESTS, STATE};
use crate::support::rooted_dir::Dir;

/// Where the tree that a manifest describes is, seen from the destination.
#[derive(Debug)]
enum At {
    Here,
    /// The destination is at this path of it.
    Above(Vec<u8>),
    /// It is at this path of the destination.
    Below(Vec<u8>),
}

#[derive(Debug)]
struct Layer {
    at: At,
    /// It came after the copy that asks.
    later: bool,
    manifest: Manifest,
}

impl Layer {
    /// The records of a directory of the destination.
    fn load(&self, dir: &[u8], block: &mut Vec<u8>) -> io::Result<bool> {
        let at = match &self.at {
            At::Here => self.manifest.find(dir),
            At::Above(prefix) => self.manifest.find(&join_paths(prefix, dir)),
            At::Below(prefix) => {
                let below = dir.strip_prefix(&**prefix);
                let below = below.filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
                below.and_then(|rest| self.manifest.find(rest.strip_prefix(b"/").unwrap_or(rest)))
            }
        };
        match at {
            Some(at) => self.manifest.load(at, block).map(|()| true),
            None => Ok(false),
        }
    }
}

fn join_paths(prefix: &[u8], path: &[u8]) -> Vec<u8> {
    if path.is_empty() { prefix.to_vec() } else { join(prefix, path) }
}

/// All other owners.
#[derive(Debug, Default)]
pub(in crate::copy) struct Layers {
    /// When the copy that asks first came; later than all that there are where it is new.
    since: u64,
    #[allow(clippy::struct_field_names)]
    layers: RwLock<Vec<Layer>>,
    any: AtomicBool,
}

impl Layers {
    /// Reads the manifests of the destination but for the one called `own`, and of the directories that it is in.
    pub(in crate::copy) fn read(destination: &Path, own: &OsStr, since: Option<u64>) -> io::Result<Self> {
        let mut found = Vec::new();
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
            found.extend(manifests(&dir, skipped)?.into_iter().map(|manifest| (at(), manifest)));
        }
        let latest = found.iter().filter_map(|(_, manifest)| manifest.head.since).max().unwrap_or(0);
        let since = since.unwrap_or_else(|| now().max(latest + 1));
        let this = Self { since, ..Self::default() };
        this.add(found);
        Ok(this)
    }

    fn add(&self, found: Vec<(At, Manifest)>) {
        if found.is_empty() {
            return;
        }
        let is_later = |manifest: &Manifest| manifest.head.since.is_some_and(|since| since > self.since);
        let found =
            found.into_iter().map(|(at, manifest)| Layer { at, later: is_later(&manifest), manifest });
        self.layers.write().unwrap_or_else(std::sync::PoisonError::into_inner).extend(found);
        self.any.store(true, Ordering::Release);
    }

    /// Looks whether a directory on the volume is a destination of its own, and takes in its owners.
    pub(in crate::copy) fn discover(&self, path: &[u8], dir: impl AsFd) -> io::Result<()> {
        match rustix::fs::accessat(&dir, STATE, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()) {
            Ok(()) => {}
            Err(_) => return Ok(()),
        }
        let dir = rustix::fs::openat(
            dir,
            c".",
            rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        let found = manifests(&Dir::from_fd(dir), None)?;
        self.add(found.into_iter().map(|manifest| (At::Below(path.to_vec()), manifest)).collect());
        Ok(())
    }

    /// When this owner came.
    pub(in crate::copy) fn since(&self) -> u64 {
        self.since
    }

    /// What the others say of a directory.
    pub(in crate::copy) fn directory(&self, dir: &[u8]) -> io::Result<Claims> {
        let mut claims = Claims::default();
        if !self.any.load(Ordering::Acquire) {
            return Ok(claims);
        }
        let mut block = Vec::new();
        for layer in self.layers.read().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            if layer.load(dir, &mut block)? {
                let all = records(&block).map(Record::into_owned).map(|record| (layer.later, record));
                claims.all.extend(all);
            }
        }
        claims.all.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        Ok(claims)
    }
}

/// What other owners say of one directory.
#[derive(Debug, Default)]
pub(in crate::copy) struct Claims {
    all: Vec<(bool, Record<'static>)>,
}

impl Claims {
    /// All records.
    pub(in crate::copy) fn into_records(self) -> impl Iterator<Item = Record<'static>> {
        self.all.into_iter().map(|(_, record)| record)
    }

    fn of(&self, name: &[u8]) -> &[(bool, Record<'static>)] {
        let start = self.all.partition_point(|(_, record)| *record.name < *name);
        let len = self.all[start..].partition_point(|(_, record)| *record.name == *name);
        &self.all[start..start + len]
    }

    /// The records of a name, of whichever owner.
    pub(in crate::copy) fn records(&self, name: &[u8]) -> impl Iterator<Item = &Record<'static>> {
        self.of(name).iter().map(|(_, record)| record)
    }

    /// Whether another owner has this name in its source.
    pub(in crate::copy) fn has(&self, name: &[u8]) -> bool {
        self.records(name).any(|record| !record.flags.orphan)
    }

    /// The type that a later owner has under this name.
    pub(in crate::copy) fn later(&self, name: &CStr) -> Option<Kind> {
        let later = self.of(name.to_bytes()).iter().filter(|(later, record)| *later && !record.flags.orphan);
        later.map(|(_, record)| record.kind).next()
    }
}

/// The manifests of a destination.
fn manifests(root: &Dir, skipped: Option<&OsStr>) -> io::Result<Vec<Manifest>> {
    let Ok(dir) = root.open_dir(Path::new(STATE).join(MANIFESTS)) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (name, _) in dir.entries()? {
        // Another owner's that this user may not read, or that is torn: its next copy says so.
        if Some(&*name) != skipped
            && !name.as_bytes().contains(&b'.')
            && let Ok(Reading::Read(manifest)) = Manifest::read(&dir, &name)
        {
            found.push(manifest);
        }
    }
    Ok(found)
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
