//! A directory of the tree during the copy: its handles in the source and the destination, and the number of unfinished
//! children. The directory gets its mtime when the last one is finished.
//!
//! Open handles are limited by a budget. A closed handle is reopened by walking down from the nearest open ancestor,
//! name by name, and must turn out to be the same directory.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::copy::io::metadata::Meta;
use crate::copy::io::path::join;
use crate::copy::tree::replaced::Replaced;
use crate::copy::tree::slot::{Slot, open_handles};
use crate::support::mutex;

/// Where the entries of a directory go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The directory is on the volume. New entries are staged and renamed into it.
    Existing,
    /// It is built in staging, where entries are created under their final names.
    New,
    /// As `New`, but created only when something is put into it.
    Lazy,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) parent: Option<Arc<Node>>,
    pub(crate) name: CString,
    /// The name on the volume, if it differs (`NAME.from-image`).
    pub(crate) alias: Option<CString>,
    /// The name in the manifest in force, if the source spells it differently and the volume takes both for one.
    pub(crate) recorded: Option<CString>,
    pub(crate) target: Target,
    /// The image's version beside the user's; not recorded in the manifest.
    pub(crate) beside_users: bool,
    /// The wanted metadata; set when its task starts.
    pub(crate) meta: OnceLock<Meta>,
    pub(crate) source: Slot,
    pub(crate) made: Slot,
    /// The staging directory of an `Existing` directory.
    pub(crate) stage: OnceLock<(u64, Arc<OwnedFd>)>,
    /// What the plan saw under names that are replaced.
    pub(crate) replaced: Replaced,
    /// The number of unfinished children, plus one for its own task.
    pub(crate) pending: AtomicUsize,
    /// Something was put into it, or a `Lazy` directory was created.
    pub(crate) touched: AtomicBool,
    /// Created only when something is put into it.
    pub(crate) on_demand: bool,
    /// The record, as written, of what stays under its name if nothing is.
    pub(crate) instead: Option<Box<[u8]>>,
    /// It replaces what a copy had put in its place: what it lacks, no user removed.
    pub(crate) anew: bool,
    /// Links on the volume may be followed.
    pub(crate) follow: bool,
    /// Links in the source are followed.
    pub(crate) dereference: bool,
    /// The image's mtime for it differs from that of the last copy.
    pub(crate) redated: bool,
    /// The image's mode or owner for it differs from that of the last copy.
    pub(crate) changed: bool,
    /// No earlier copy recorded it as a directory.
    pub(crate) unrecorded: bool,
    /// The digest of the image's extended attributes at the last copy.
    pub(crate) xattrs: Option<u64>,
    /// The image's attributes have changed; found out when it is finished.
    pub(crate) attributed: AtomicBool,
    /// Several copiers walk through it, and some of its entries may be another's.
    pub(crate) shared: bool,
    /// Another shard sets this directory's metadata.
    pub(crate) finished_by_another: bool,
    /// A later owner also has it, and sets its metadata.
    pub(crate) covered: bool,
    /// Created in its final place, because any of the shards may need it first.
    pub(crate) in_place: bool,
    /// Something below must stay in staging until everything is copied.
    pub(crate) held: AtomicBool,
    making: Mutex<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Made,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Node {
    pub(crate) fn root(
        (source, source_stat): (OwnedFd, &Stat),
        made: Option<(OwnedFd, Stat)>,
        follow: bool,
    ) -> io::Result<Self> {
        let target = if made.is_some() { Target::Existing } else { Target::Lazy };
        let node = Self::bare(None, CString::default(), target, follow);
        node.source.set(source, source_stat)?;
        if let Some((fd, stat)) = made {
            node.made.set(fd, &stat)?;
        }
        Ok(node)
    }

    fn bare(parent: Option<Arc<Self>>, name: CString, target: Target, follow: bool) -> Self {
        Self {
            beside_users: parent.as_ref().is_some_and(|parent| parent.beside_users),
            dereference: parent.as_ref().is_some_and(|parent| parent.dereference),
            anew: parent.as_ref().is_some_and(|parent| parent.anew),
            parent,
            name,
            alias: None,
            recorded: None,
            target,
            meta: OnceLock::new(),
            source: Slot::default(),
            made: Slot::default(),
            stage: OnceLock::new(),
            replaced: Replaced::default(),
            pending: AtomicUsize::new(1),
            touched: AtomicBool::new(false),
            on_demand: false,
            instead: None,
            follow,
            redated: false,
            changed: false,
            unrecorded: false,
            xattrs: None,
            attributed: AtomicBool::new(false),
            shared: false,
            finished_by_another: false,
            covered: false,
            in_place: false,
            held: AtomicBool::new(false),
            making: Mutex::new(()),
        }
    }

    /// Adds one thing to wait for.
    pub(crate) fn begin(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// A new child, unfinished from now on.
    pub(crate) fn child(self: &Arc<Self>, name: &CStr, target: Target) -> Self {
        self.begin();
        Self::bare(Some(self.clone()), name.to_owned(), target, self.follow)
    }

    /// Whether it gets a record only once it is created.
    pub(crate) fn is_recorded_when_made(&self) -> bool {
        self.on_demand && self.unrecorded
    }

    /// Whether something else on the volume makes way for it.
    pub(crate) fn is_replacing(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| parent.replaced.seen(&self.name).is_some())
    }

    /// The nearest directory at or above this one that is already on the volume, and the path from there.
    pub(crate) fn way(&self) -> (&Self, Vec<u8>) {
        let mut names = Vec::new();
        let mut node = self;
        while let (Target::New | Target::Lazy, Some(parent)) = (node.target, &node.parent) {
            names.push(node.made_name().to_bytes());
            node = parent;
        }
        names.reverse();
        (node, names.join(&b'/'))
    }

    /// Whether this directory or one of its parents is that directory of the source.
    pub(crate) fn is_below(&self, stat: &Stat) -> bool {
        std::iter::successors(Some(self), |node| node.parent.as_deref()).any(|node| node.source.is(stat))
    }

    pub(crate) fn made_name(&self) -> &CStr {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    /// The path relative to the destination.
    pub(crate) fn path(&self) -> Vec<u8> {
        self.path_of(Self::made_name)
    }

    /// The path in the spelling of the manifest in force.
    pub(crate) fn recorded_path(&self) -> Vec<u8> {
        self.path_of(|node| node.recorded.as_deref().unwrap_or(node.made_name()))
    }

    fn path_of(&self, name: impl Fn(&Self) -> &CStr) -> Vec<u8> {
        let mut names = Vec::new();
        let mut node = self;
        while let Some(parent) = &node.parent {
            names.push(name(node).to_bytes());
            node = parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The path of an entry, relative to the destination.
    pub(crate) fn child_path(&self, name: &CStr) -> Vec<u8> {
        join(&self.path(), name.to_bytes())
    }

    /// Whether this copy created it in place, so that it was empty then.
    pub(crate) fn is_just_made(&self) -> bool {
        self.in_place && self.touched.load(Ordering::Relaxed)
    }

    /// Whether it is renamed as a whole into a directory that several copiers share.
    pub(crate) fn is_piece(&self) -> bool {
        self.target == Target::New
            && !self.shared
            && self.alias.is_none()
            && self.parent.as_ref().is_some_and(|parent| parent.in_place)
    }

    /// Keeps the piece that contains this directory from being published early.
    pub(crate) fn hold(&self) {
        let mut node = self;
        while let Some(parent) = &node.parent {
            if parent.in_place {
                return node.held.store(true, Ordering::Relaxed);
            }
            node = parent;
        }
    }

    pub(crate) fn source(&self) -> io::Result<Arc<OwnedFd>> {
        self.handle(Side::Source)
    }

    /// The directory that new entries go to: on the volume if `Existing`, otherwise in staging.
    pub(crate) fn made(&self) -> io::Result<Arc<OwnedFd>> {
        self.handle(Side::Made)
    }

    fn slot(&self, side: Side) -> &Slot {
        match side {
            Side::Source => &self.source,
            Side::Made => &self.made,
        }
    }

    fn handle(&self, side: Side) -> io::Result<Arc<OwnedFd>> {
        if let Some(open) = self.slot(side).get() {
            return Ok(open);
        }
        // Up to the nearest open ancestor, then down again; only the wanted handle is kept.
        let mut trail = vec![self];
        let mut at: Option<Arc<OwnedFd>> = None;
        let mut node = self;
        while let Some(parent) = node.parent.as_deref() {
            // A new directory below an existing one is in the existing one's staging.
            if side == Side::Made && parent.target == Target::Existing && node.target != Target::Existing {
                at = Some(parent.stage.get().map(|(_, stage)| stage.clone()).ok_or(Errno::STALE)?);
                break;
            }
            if let Some(open) = parent.slot(side).get() {
                at = Some(open);
                break;
            }
            trail.push(parent);
            node = parent;
        }
        let mut at = at.ok_or(Errno::STALE)?;
        while let Some(node) = trail.pop() {
            let name = if side == Side::Source { node.name.as_c_str() } else { node.made_name() };
            let fd = node.open(&*at, name, side)?;
            if trail.is_empty() {
                let stat = rustix::fs::fstat(&fd)?;
                return node.slot(side).set(fd, &stat);
            }
            at = Arc::new(fd);
        }
        Err(Errno::STALE.into())
    }

    /// Its provisional mode if it is created in place; the copier that finishes it sets the final mode.
    pub(crate) fn mode_in_place(&self) -> u32 {
        self.meta.get().map_or(0o755, |meta| meta.mode & 0o777 | 0o700)
    }

    fn open(&self, at: impl AsFd, name: &CStr, side: Side) -> rustix::io::Result<OwnedFd> {
        let follow = match side {
            Side::Made => self.follow && self.target == Target::Existing,
            Side::Source => self.dereference,
        };
        let flags = if follow { DIRECTORY } else { DIRECTORY | OFlags::NOFOLLOW };
        match rustix::fs::openat(&at, name, flags, Mode::empty()) {
            Err(Errno::NOENT) if self.in_place && side == Side::Made => {
                match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(self.mode_in_place())) {
                    Ok(()) => self.touched.store(true, Ordering::Relaxed),
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                rustix::fs::openat(&at, name, flags, Mode::empty())
            }
            opened => opened,
        }
    }

    /// The directory in which new entries are created. For an `Existing` directory its staging, created by `stage` on
    /// first use; a `Lazy` one is created with its parents by `make` (in the given directory, under the given name).
    #[allow(clippy::type_complexity)] // two functions, told apart by their names
    pub(crate) fn place(
        &self,
        stage: &dyn Fn(&Self) -> io::Result<(u64, Arc<OwnedFd>)>,
        make: &dyn Fn(&Self, &OwnedFd) -> io::Result<OwnedFd>,
    ) -> io::Result<Arc<OwnedFd>> {
        if self.target == Target::Existing {
            if let Some((_, stage)) = self.stage.get() {
                return Ok(stage.clone());
            }
            let _making = mutex::lock(&self.making);
            if self.stage.get().is_none() {
                let _ = self.stage.set(stage(self)?);
            }
            return Ok(self.stage.get().map(|(_, stage)| stage.clone()).ok_or(Errno::STALE)?);
        }
        if self.made.is_known() {
            return self.made();
        }
        // Ancestors first, in a loop: the chain may be deeper than the stack.
        let mut chain = vec![self];
        let mut node = self;
        while let Some(parent) = node.parent.as_deref() {
            if parent.target == Target::Existing || parent.made.is_known() {
                break;
            }
            chain.push(parent);
            node = parent;
        }
        let mut made = None;
        while let Some(node) = chain.pop() {
            let _making = mutex::lock(&node.making);
            if node.made.is_known() {
                made = Some(node.made()?);
                continue;
            }
            let Some(parent) = node.parent.as_deref() else { return Err(Errno::STALE.into()) };
            let at = match made {
                Some(at) => at,
                None if parent.target == Target::Existing => parent.place(stage, make)?,
                None => parent.made()?,
            };
            let fd = make(node, &at)?;
            let stat = rustix::fs::fstat(&fd)?;
            node.touched.store(true, Ordering::Relaxed);
            made = Some(node.made.set(fd, &stat)?);
        }
        Ok(made.ok_or(Errno::STALE)?)
    }

    /// In a dry run: calls `plan` for this directory and each parent that would be created for the entry, once each.
    pub(crate) fn for_unplanned(&self, plan: &mut dyn FnMut(&Self)) {
        let mut node = Some(self);
        while let Some(lazy) =
            node.filter(|node| node.on_demand && !node.touched.swap(true, Ordering::Relaxed))
        {
            plan(lazy);
            node = lazy.parent.as_deref();
        }
    }

    /// Closes the parent's handles if more are open than the budget allows.
    pub(crate) fn relieve(&self, budget: usize) {
        if open_handles() > budget
            && let Some(parent) = &self.parent
            && parent.parent.is_some()
        {
            parent.source.close();
            parent.made.close();
        }
    }
}

impl Drop for Node {
    /// Drops the chain of parents in a loop, because it may be deeper than the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = match Arc::try_unwrap(parent) {
                Ok(mut parent) => parent.parent.take(),
                Err(_) => None,
            };
        }
    }
}
