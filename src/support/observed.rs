//! The last observation of a wait, for the heartbeat and for the sentence when the wait ends.

use std::sync::{Arc, Mutex};

use super::mutex::lock;

/// Shared by the wait, which sets it, and by those who report it.
#[derive(Debug, Clone, Default)]
pub struct Observed(Arc<Mutex<String>>);

impl Observed {
    /// Replaces the observation.
    pub fn set(&self, seen: impl Into<String>) {
        *lock(&self.0) = seen.into();
    }

    /// The observation; empty at first.
    pub fn get(&self) -> String {
        lock(&self.0).clone()
    }
}
