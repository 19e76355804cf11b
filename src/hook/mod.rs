//! What a hook is, and one attempt of it.

pub mod attempt;
pub mod copying;
pub mod exec;
mod failures;
pub mod file;
mod following;
pub mod identity;
pub mod invalid;
pub mod layer;
pub mod opening;
pub mod rare;
pub mod spec;
pub mod steps;
pub mod summary;
pub mod values;
pub mod wait;
