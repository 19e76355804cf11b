//! What a hook is: the hook file, the environment and the flags in, a checked [`spec::Hook`] out.

pub mod file;
pub mod identity;
pub mod layer;
pub mod rare;
pub mod spec;
pub mod spec_error;
pub mod steps;
pub mod values;
pub mod wait;
