//! What a hook is: the hook file, the environment and the flags in, a checked [`spec::Hook`] out.

pub mod accepted;
pub mod condition;
mod copy_pair;
pub mod copy_step;
pub mod duration;
mod exec_step;
pub mod file;
pub mod identity;
pub mod layer;
pub mod log_target;
mod number;
pub mod redact;
mod scalar;
pub mod spec;
pub mod spec_error;
pub mod steps;
pub mod wait;
mod wait_step;
