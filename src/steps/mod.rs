//! What each kind of step does.

pub mod copy;
mod drain;
pub mod exec;
pub mod follow;
pub(crate) mod heartbeat;
pub mod poll;
pub mod wait;
