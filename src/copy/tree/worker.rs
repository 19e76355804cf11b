//! The buffers that a worker reuses from task to task: allocating them for each directory would halve the speed.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fs::FileType;

use crate::copy::io::listing::Listing;
use crate::copy::io::readahead::Readahead;
use crate::copy::io::xattrs::Xattrs;
use crate::copy::journal::read::Noted;
use crate::copy::plan::layers::Claims;
use crate::copy::report::Report;
use crate::copy::tree::entry::DeferredEntry;
use crate::copy::tree::node::Node;

/// A task of the main phase.
#[allow(clippy::large_enum_variant)] // large files are few: a box each would cost the others nothing either
pub(crate) enum Task {
    Dir(Arc<Node>),
    /// Some entries of a large directory.
    Part {
        node: Arc<Node>,
        names: Vec<(CString, FileType)>,
    },
    /// A file too large to be copied between its siblings.
    File(DeferredEntry),
}

pub(crate) struct Worker {
    pub(crate) buffer: Vec<u8>,
    pub(crate) other: Vec<u8>,
    pub(crate) dirents: Vec<MaybeUninit<u8>>,
    pub(crate) listing: Listing,
    pub(crate) old: Vec<u8>,
    pub(crate) block: Vec<u8>,
    pub(crate) orphans: bool,
    /// What other owners have in the current directory.
    pub(crate) claims: Claims,
    pub(crate) noted: Noted,
    pub(crate) xattrs: Xattrs,
    pub(crate) report: Report,
    pub(crate) tasks: Vec<Task>,
    pub(crate) ahead: Readahead,
}

impl Worker {
    /// A worker with a report of the same limits.
    pub(crate) fn reporting_as(report: &Report) -> Self {
        Self {
            buffer: Vec::new(),
            other: Vec::new(),
            dirents: vec![MaybeUninit::uninit(); 32 << 10],
            listing: Listing::default(),
            old: Vec::new(),
            block: Vec::new(),
            orphans: false,
            claims: Claims::default(),
            noted: Noted::default(),
            xattrs: Xattrs::default(),
            report: report.like(),
            tasks: Vec::new(),
            ahead: Readahead::default(),
        }
    }
}
