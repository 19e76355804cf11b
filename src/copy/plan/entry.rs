//! What a worker has before it: the directory that it is in, and one name there with what is known of it.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::Stat;

use crate::copy::io::path::join;
use crate::copy::manifest::Record;
use crate::copy::stage::node::Node;

/// The directory that a worker is in.
pub(in crate::copy) struct Here<'a> {
    pub(in crate::copy) node: &'a Arc<Node>,
    pub(in crate::copy) path: &'a [u8],
    pub(in crate::copy) source: &'a OwnedFd,
    /// Its directory on the volume, if it is there.
    pub(in crate::copy) made: Option<&'a OwnedFd>,
}

impl Here<'_> {
    pub(in crate::copy) fn child(&self, name: &CStr) -> Vec<u8> {
        join(self.path, name.to_bytes())
    }
}

/// A name of a directory.
#[derive(Clone, Copy)]
pub(in crate::copy) struct Entry<'a> {
    pub(in crate::copy) name: &'a CStr,
    /// What the manifest in force says of it.
    pub(in crate::copy) record: Option<&'a Record<'a>>,
    /// What the volume had under it when that was looked up.
    pub(in crate::copy) volume: Option<&'a Stat>,
    /// The record of another owner that says what the volume has.
    pub(in crate::copy) base: Option<&'a Record<'static>>,
    /// A later copy owns the name.
    pub(in crate::copy) covered: bool,
}

/// An [`Entry`] that is dealt with later.
#[derive(Debug)]
pub(in crate::copy) struct Later {
    pub(in crate::copy) node: Arc<Node>,
    pub(in crate::copy) name: CString,
    record: Option<Record<'static>>,
    volume: Option<Stat>,
    base: Option<Record<'static>>,
    covered: bool,
}

impl Entry<'_> {
    /// Puts it off; its directory is unfinished until it has been dealt with.
    pub(in crate::copy) fn defer(&self, node: &Arc<Node>) -> Later {
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
    pub(in crate::copy) fn entry(&self) -> Entry<'_> {
        Entry {
            name: &self.name,
            record: self.record.as_ref(),
            volume: self.volume.as_ref(),
            base: self.base.as_ref(),
            covered: self.covered,
        }
    }
}
