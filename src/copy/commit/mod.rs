//! What a manifest is for after the copy: recording what a run left, and comparing the volume with it.

pub(crate) mod begin;
pub(crate) mod force;
pub(crate) mod inside;
pub(crate) mod rewrite;
pub(crate) mod seal;
pub(crate) mod verify;
