//! What copies are about to do, on stable storage before they do it, so that the next one can tell their doing from a
//! user's.

pub(in crate::copy) mod read;
pub(in crate::copy) mod recover;
pub(in crate::copy) mod write;
