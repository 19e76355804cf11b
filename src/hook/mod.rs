//! What a hook is, and one attempt of it.

pub mod exec;
pub mod wait;
