//! Giving what is complete in staging its names on the volume.

pub(crate) mod blocking;
pub(crate) mod meanwhile;
pub(crate) mod moving;
pub(crate) mod pending;
pub(crate) mod publisher;
pub(crate) mod put_back;
pub(crate) mod rename;
