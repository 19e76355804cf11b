//! What a worker is at: a directory, and one name in it with what is known about that.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::Stat;

use crate::copy::io::path::join;
use crate::copy::manifest::Record;
use crate::copy::tree::node::Node;

/// The directory that a worker is in.
pub(crate) struct DirContext<'a> {
    pub(crate) node: &'a Arc<Node>,
    pub(crate) path: &'a [u8],
    pub(crate) source: &'a OwnedFd,
    /// The directory on the volume, if it exists.
    pub(crate) made: Option<&'a OwnedFd>,
}

impl DirContext<'_> {
    pub(crate) fn child(&self, name: &CStr) -> Vec<u8> {
        join(self.path, name.to_bytes())
    }
}

/// A name in a directory.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a CStr,
    /// Its record in the manifest in force.
    pub(crate) record: Option<&'a Record<'a>>,
    /// What the volume had under the name when it was looked up.
    pub(crate) volume: Option<&'a Stat>,
    /// Another owner's record that matches the volume's entry.
    pub(crate) base: Option<&'a Record<'static>>,
    /// A later copy owns the name.
    pub(crate) covered: bool,
}

/// An [`Entry`] that was put off.
#[derive(Debug)]
pub(crate) struct DeferredEntry {
    pub(crate) node: Arc<Node>,
    pub(crate) name: CString,
    record: Option<Record<'static>>,
    volume: Option<Stat>,
    base: Option<Record<'static>>,
    covered: bool,
}

impl Entry<'_> {
    /// Puts it off. Its directory stays unfinished until it was handled.
    pub(crate) fn defer(&self, node: &Arc<Node>) -> DeferredEntry {
        node.begin();
        DeferredEntry {
            node: node.clone(),
            name: self.name.to_owned(),
            record: self.record.cloned().map(Record::into_owned),
            volume: self.volume.copied(),
            base: self.base.cloned(),
            covered: self.covered,
        }
    }
}

impl DeferredEntry {
    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            name: &self.name,
            record: self.record.as_ref(),
            volume: self.volume.as_ref(),
            base: self.base.as_ref(),
            covered: self.covered,
        }
    }
}
