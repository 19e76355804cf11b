//! What was seen last by whoever waits for something, for the heartbeat and for the sentence when the wait ends.

use std::sync::{Arc, Mutex};

use super::mutex::lock;

/// Shared by who waits and who tells.
#[derive(Debug, Clone, Default)]
pub struct Observed(Arc<Mutex<String>>);

impl Observed {
    /// Replaces what was seen before.
    pub fn set(&self, seen: impl Into<String>) {
        *lock(&self.0) = seen.into();
    }

    /// Empty before anything was seen.
    pub fn get(&self) -> String {
        lock(&self.0).clone()
    }
}
