//! Several copiers that share one tree: how entries are distributed, and how their manifests are merged.

pub(crate) mod lock;
pub(crate) mod merge;
pub(crate) mod names;
pub(crate) mod partition;
