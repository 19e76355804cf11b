//! What the main phase leaves to be published: directories with something staged for them, modes that have to wait; and pieces
//! of a shared tree that get their names at once.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::copy::tree::node::Node;
use crate::support::mutex;

/// A mode that can only be set once a directory has its final place: the directory that it is in, its name, its mode.
pub(crate) type LateMode = (Arc<Node>, CString, u32);

/// What is to be published.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    existing: Mutex<Vec<Arc<Node>>>,
    late: Mutex<Vec<LateMode>>,
    /// It is on stable storage which pieces get their names before the end.
    noted: AtomicBool,
}

impl Pending {
    /// A directory on the volume that something was staged for.
    pub(crate) fn add_existing(&self, node: Arc<Node>) {
        mutex::lock(&self.existing).push(node);
    }

    pub(crate) fn add_late_mode(&self, late: LateMode) {
        mutex::lock(&self.late).push(late);
    }

    pub(crate) fn is_empty(&self) -> bool {
        mutex::lock(&self.existing).is_empty()
    }

    pub(crate) fn take_existing(&self) -> Vec<Arc<Node>> {
        std::mem::take(&mut *mutex::lock(&self.existing))
    }

    pub(crate) fn take_late_modes(&self) -> Vec<LateMode> {
        std::mem::take(&mut *mutex::lock(&self.late))
    }

    /// Pieces may get their names from now on, if that has been noted.
    pub(crate) fn pieces_are_noted(&self, noted: bool) {
        self.noted.store(noted, Ordering::Release);
    }

    /// Gives a piece that is complete and on stable storage its name at once, if it has been noted that it was about to
    /// get it: rename(2) takes a lock of the whole filesystem, and the pieces of all who are at work here would wait for
    /// it in the end. What cannot have its name that easily is left for the end.
    pub(crate) fn publish_piece(&self, node: &Node) {
        if !self.noted.load(Ordering::Acquire) || !node.is_piece() || node.held.load(Ordering::Relaxed) {
            return;
        }
        let Some(parent) = &node.parent else { return };
        if let (Some((_, staged)), Ok(made)) = (parent.stage.get(), parent.made()) {
            let _ = rustix::fs::renameat(&**staged, &*node.name, &*made, &*node.name);
        }
    }
}
