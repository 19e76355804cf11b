//! Removing what the source does not have, last of all.

pub(in crate::copy) mod owned;
