//! What is to be published after the main phase: directories with staged entries, and modes that have to wait. In a
//! shared tree, whole pieces are published at once.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::copy::tree::node::Node;
use crate::support::mutex;

/// A mode that can only be set once a directory has its final place: parent, name, mode.
pub(crate) type LateMode = (Arc<Node>, CString, u32);

#[derive(Debug, Default)]
pub(crate) struct Pending {
    existing: Mutex<Vec<Arc<Node>>>,
    late: Mutex<Vec<LateMode>>,
    /// The journal says durably which pieces get their names early.
    noted: AtomicBool,
}

impl Pending {
    /// Adds a directory of the volume that something was staged for.
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

    /// Allows pieces to be published early, if the journal says so.
    pub(crate) fn pieces_are_noted(&self, noted: bool) {
        self.noted.store(noted, Ordering::Release);
    }

    /// Publishes a complete and durable piece at once, if the journal allows it: rename(2) takes a lock of the whole
    /// filesystem, for which all shards would wait at the end. A piece that cannot simply be renamed is left for the
    /// end.
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
