//! Hard links within the source: the first name is copied like any file, the others are linked to it at the end.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex};

use rustix::fs::Stat;

use crate::copy::tree::entry::{DeferredEntry, Entry};
use crate::copy::tree::node::Node;
use crate::copy::tree::version::{Outcome, Version};
use crate::support::mutex;

pub(crate) type Inode = (u64, u64);

/// Whether a name is its file's first.
pub(crate) enum Claim {
    First,
    Deferred,
}

#[derive(Debug, Default)]
pub(crate) struct HardLinks {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    firsts: HashMap<Inode, Option<First>>,
    deferred: Vec<Deferred>,
}

/// The first name of a file, and its result.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) node: Arc<Node>,
    pub(crate) name: CString,
    pub(crate) version: Version<'static>,
    pub(crate) outcome: Outcome,
}

impl First {
    /// Whether the image's version is there, so that other names can be linked to it.
    pub(crate) fn is_images(&self) -> bool {
        !matches!(self.outcome, Outcome::Other)
    }
}

#[derive(Debug)]
pub(crate) struct Deferred {
    pub(crate) inode: Inode,
    pub(crate) later: DeferredEntry,
}

impl HardLinks {
    /// Claims the file for this name, or puts the name off; then its directory stays unfinished.
    pub(crate) fn claim(&self, stat: &Stat, node: &Arc<Node>, entry: Entry<'_>) -> Claim {
        let inode = (stat.st_dev, stat.st_ino);
        let mut inner = mutex::lock(&self.inner);
        if let std::collections::hash_map::Entry::Vacant(vacant) = inner.firsts.entry(inode) {
            vacant.insert(None);
            return Claim::First;
        }
        inner.deferred.push(Deferred { inode, later: entry.defer(node) });
        Claim::Deferred
    }

    /// Records the result of the first name.
    pub(crate) fn settled(&self, stat: &Stat, first: First) {
        mutex::lock(&self.inner).firsts.insert((stat.st_dev, stat.st_ino), Some(first));
    }

    /// The first names and the other names, once no more come.
    pub(crate) fn take(&self) -> (HashMap<Inode, Option<First>>, Vec<Deferred>) {
        let inner = std::mem::take(&mut *mutex::lock(&self.inner));
        (inner.firsts, inner.deferred)
    }
}
