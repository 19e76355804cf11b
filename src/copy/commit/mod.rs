//! What a manifest is for after the copy: recording what a run left, and comparing the volume with it.

pub(in crate::copy) mod begin;
pub(in crate::copy) mod rewrite;
pub(in crate::copy) mod seal;
pub(in crate::copy) mod verify;
