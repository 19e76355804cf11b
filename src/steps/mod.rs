//! What a step does when it is its turn.

pub mod exec;
pub mod follow;
pub mod wait;
