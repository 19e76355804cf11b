//! Manifests after the copy: putting them in force, recording what a run left, and comparing the volume with them.

pub(crate) mod begin;
pub(crate) mod force;
pub(crate) mod inside;
pub(crate) mod kept;
pub(crate) mod listed;
pub(crate) mod rewrite;
pub(crate) mod seal;
pub(crate) mod verify;
