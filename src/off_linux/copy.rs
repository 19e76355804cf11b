//! The options of a copy, as flags and the hook file give them.

use std::path::Path;

#[path = "../copy/chmod.rs"]
mod chmod;
#[path = "../copy/options.rs"]
mod options;
#[path = "../copy/pattern.rs"]
mod pattern;

pub use options::{ModeChange, Options, Owner, Policy, Prune, Shard};
pub use pattern::is_pattern;

/// Only copies ask.
pub fn empties(_source: &Path, _destination: &Path) -> bool {
    false
}

/// Only copies ask.
pub fn is_reserved(_path: &Path) -> bool {
    false
}
