//! Steps.

pub(crate) mod ends;
pub(crate) mod wait;
