//! Steps.

pub(crate) mod wait;
