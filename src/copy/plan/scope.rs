//! What takes part in a copy. Left out are entries that the options exclude, the runner's own files, and in a shared
//! tree the other copiers' entries.

use std::ffi::{CStr, CString};

use rustix::fs::FileType;

use crate::copy::io::listing::Listing;
use crate::copy::io::path::join;
use crate::copy::plan::filter::Filter;
use crate::copy::plan::protected::Protected;
use crate::copy::shard::partition::Shares;
use crate::copy::state::STATE;
use crate::copy::tree::entry::DirContext;
use crate::copy::tree::node::Node;

#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) filter: Filter,
    /// If the source is a file: the one name in the destination that it is copied to.
    pub(crate) only: Option<CString>,
    /// The runner's own files.
    pub(crate) protected: Protected,
    /// In a shared tree: which entries are this copier's.
    pub(crate) shares: Option<Shares>,
}

impl Scope {
    /// Whether an entry of a directory is this copier's.
    pub(crate) fn is_mine(&self, here: &DirContext<'_>, name: &[u8], is_dir: bool) -> bool {
        let shares = self.shares.as_ref().filter(|_| here.node.shared);
        shares.is_none_or(|shares| shares.is_mine(here.path, name, is_dir))
    }

    /// Whether this copy says nothing about a recorded entry: the options leave it out, or the same owner copied a file
    /// to this other name.
    pub(crate) fn leaves_out(&self, here: &DirContext<'_>, name: &[u8], is_dir: bool) -> bool {
        let is_other = |only: &CString| here.node.parent.is_none() && only.to_bytes() != name;
        self.only.as_ref().is_some_and(is_other) || self.filter.skips(here.path, name, is_dir)
    }

    /// Whether several copiers walk through a subdirectory.
    pub(crate) fn is_shared(&self, here: &DirContext<'_>, name: &CStr) -> bool {
        let shares = self.shares.as_ref().filter(|_| here.node.shared);
        shares.is_some_and(|shares| shares.is_shared(&here.child(name)))
    }

    /// Whether this copier must walk through a shared directory on the volume: it has an entry there, or a shared
    /// subdirectory that may need room to be made.
    pub(crate) fn has_some(&self, path: &[u8], node: &Node, listing: &Listing) -> bool {
        let Some(shares) = &self.shares else { return true };
        !node.finished_by_another
            || (0..listing.len()).any(|at| {
                let (name, kind) = listing.get(at);
                let is_dir = kind == FileType::Directory;
                shares.is_mine(path, name.to_bytes(), is_dir)
                    || is_dir && shares.is_shared(&join(path, name.to_bytes()))
            })
    }

    /// Whether the name is the runner's own or kept by the filesystem in its root.
    pub(crate) fn is_reserved(&self, here: &DirContext<'_>, name: &CStr) -> bool {
        if here.node.beside_users {
            return false;
        }
        if here.node.parent.is_none() && (name.to_bytes() == STATE.as_bytes() || name == c"lost+found") {
            return true;
        }
        self.protected.is_below(here.path, name.to_bytes())
    }
}
