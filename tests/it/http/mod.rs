//! The client of the waits.

pub(crate) mod empty_image;
