//! The sidecar.

pub(crate) mod sidecar;
