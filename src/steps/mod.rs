//! What a step does when it is its turn.

pub mod copy;
pub mod exec;
pub mod follow;
pub(crate) mod heartbeat;
pub mod wait;
