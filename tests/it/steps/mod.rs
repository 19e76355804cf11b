//! Steps.

pub(crate) mod ends;
pub(crate) mod wait;
pub(crate) mod when;
mod words;
