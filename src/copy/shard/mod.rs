//! Several copiers that share one tree: who has what, and how their manifests become one.

pub(crate) mod lock;
pub(crate) mod merge;
pub(crate) mod names;
pub(crate) mod partition;
