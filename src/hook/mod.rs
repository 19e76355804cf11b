//! What a hook is: the hook file, the environment and the flags in, a checked [`spec::Hook`] out.

pub mod accepted;
pub mod condition;
mod copy_pair;
pub mod copy_step;
pub mod duration;
mod exec_step;
pub mod file;
mod file_value;
pub mod identity;
mod keys;
pub mod layer;
pub mod log_target;
mod number;
mod pattern;
pub mod preflight;
pub mod redact;
pub mod run_id;
pub mod schema;
pub mod spec;
pub mod spec_error;
mod step;
pub mod steps;
mod switch;
pub mod wait;
mod wait_step;
mod word;
mod yaml;
