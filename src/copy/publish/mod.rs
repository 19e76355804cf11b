//! Gives complete staged entries their final names.

pub(crate) mod blocking;
pub(crate) mod meanwhile;
pub(crate) mod moving;
pub(crate) mod pending;
pub(crate) mod publisher;
pub(crate) mod put_back;
pub(crate) mod rename;
