//! What a wait saw last, for the heartbeat and for the message when the wait ends.

use std::sync::{Arc, Mutex};

use super::mutex::lock;

/// Set by the wait, read by whoever reports it.
#[derive(Debug, Clone, Default)]
pub struct Observed(Arc<Mutex<String>>);

impl Observed {
    /// Replaces the observation.
    pub fn set(&self, seen: impl Into<String>) {
        *lock(&self.0) = seen.into();
    }

    /// The observation; empty until the first.
    pub fn get(&self) -> String {
        lock(&self.0).clone()
    }
}
