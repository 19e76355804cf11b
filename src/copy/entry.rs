//! What a worker has before it: the directory that it is in, and one name there with what is known of it.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::Stat;

use super::manifest::Record;
use super::node::Node;
use super::path::join;

/// The directory that a worker is in.
pub(super) struct Here<'a> {
    pub(super) node: &'a Arc<Node>,
    pub(super) path: &'a [u8],
    pub(super) source: &'a OwnedFd,
    /// Its directory on the volume, if it is there.
    pub(super) made: Option<&'a OwnedFd>,
}

impl Here<'_> {
    pub(super) fn child(&self, name: &CStr) -> Vec<u8> {
        join(self.path, name.to_bytes())
    }
}

/// A name of a directory.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a CStr,
    /// What the manifest in force says of it.
    pub(super) record: Option<&'a Record<'a>>,
    /// What the volume had under it when that was looked up.
    pub(super) volume: Option<&'a Stat>,
    /// The record of another owner that says what the volume has.
    pub(super) base: Option<&'a Record<'static>>,
    /// A later copy owns the name.
    pub(super) covered: bool,
}

/// An [`Entry`] that is dealt with later.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) node: Arc<Node>,
    pub(super) name: CString,
    record: Option<Record<'static>>,
    volume: Option<Stat>,
    base: Option<Record<'static>>,
    covered: bool,
}

impl Entry<'_> {
    /// Puts it off; its directory is unfinished until it has been dealt with.
    pub(super) fn defer(&self, node: &Arc<Node>) -> Later {
        node.begin();
        Later {
            node: node.clone(),
            name: self.name.to_owned(),
            record: self.record.cloned().map(Record::into_owned),
            volume: self.volume.copied(),
            base: self.base.cloned(),
            covered: self.covered,
        }
    }
}

impl Later {
    pub(super) fn entry(&self) -> Entry<'_> {
        Entry {
            name: &self.name,
            record: self.record.as_ref(),
            volume: self.volume.as_ref(),
            base: self.base.as_ref(),
            covered: self.covered,
        }
    }
}
