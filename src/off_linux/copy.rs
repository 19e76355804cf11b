//! The options of a copy, as flags and the hook file give them.

use std::path::{Path, PathBuf};

#[path = "../copy/chmod.rs"]
mod chmod;
#[path = "../copy/options.rs"]
mod options;
#[path = "../copy/pattern.rs"]
mod pattern;

pub use options::{ModeChange, Options, Owner, Policy, Prune, Shard};
pub use pattern::pattern_mistake;

/// Only copies ask.
pub fn empties(_source: &Path, _destination: &Path) -> bool {
    false
}

/// Only copies ask.
pub fn leads_nowhere(_path: &Path) -> Option<PathBuf> {
    None
}

/// Only copies ask.
pub fn is_reserved(_path: &Path) -> bool {
    false
}
