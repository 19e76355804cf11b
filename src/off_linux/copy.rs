//! What a copy may be asked for: values of flags and of the hook file.

use std::path::Path;

#[path = "../copy/chmod.rs"]
mod chmod;
#[path = "../copy/options.rs"]
mod options;
#[path = "../copy/pattern.rs"]
mod pattern;

pub use options::{ModeChange, Options, Owner, Policy, Prune, Shard};
pub use pattern::is_pattern;

/// Only a copy asks.
pub fn empties(_source: &Path, _destination: &Path) -> bool {
    false
}

/// Only a copy asks.
pub fn is_reserved(_path: &Path) -> bool {
    false
}
