//! Giving what is complete in staging its names on the volume.

pub(in crate::copy) mod rename;
pub(in crate::copy) mod replace;
