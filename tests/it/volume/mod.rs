//! The files on the volume.

pub(crate) mod files;
pub(crate) mod power_cut;
