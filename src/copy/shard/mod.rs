//! Several copiers that share one tree: who has what, and how their manifests become one.

pub(in crate::copy) mod merge;
pub(in crate::copy) mod partition;
