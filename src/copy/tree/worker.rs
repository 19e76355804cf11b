//! What a worker keeps from task to task: allocating these anew for each directory halves the speed.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fs::FileType;

use crate::copy::io::listing::Listing;
use crate::copy::io::readahead::Ahead;
use crate::copy::io::xattrs::Xattrs;
use crate::copy::journal::read::Noted;
use crate::copy::plan::layers::Claims;
use crate::copy::report::Report;
use crate::copy::tree::entry::Later;
use crate::copy::tree::node::Node;

/// Work of the main phase.
#[allow(clippy::large_enum_variant)] // large files are few: a box each would cost the others nothing either
pub(crate) enum Task {
    Dir(Arc<Node>),
    /// Entries of a large directory.
    Part {
        node: Arc<Node>,
        names: Vec<(CString, FileType)>,
    },
    /// A file too large to be dealt with between its siblings.
    File(Later),
}

/// The buffers and the report of one worker.
pub(crate) struct Worker {
    pub(crate) buffer: Vec<u8>,
    pub(crate) other: Vec<u8>,
    pub(crate) dirents: Vec<MaybeUninit<u8>>,
    pub(crate) listing: Listing,
    pub(crate) old: Vec<u8>,
    pub(crate) block: Vec<u8>,
    pub(crate) orphans: bool,
    /// What other owners have in the directory that it is in.
    pub(crate) claims: Claims,
    pub(crate) noted: Noted,
    pub(crate) xattrs: Xattrs,
    pub(crate) report: Report,
    pub(crate) tasks: Vec<Task>,
    pub(crate) ahead: Ahead,
}

impl Worker {
    /// One whose report lists as much as `report` does.
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
            ahead: Ahead::default(),
        }
    }
}
