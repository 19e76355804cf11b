//! The tree that every stage works on: its two roots, its directories while they are open, one name with what is known of it.
//! Values and handles; no decision and no change of the volume but a directory that is made.

pub(crate) mod entry;
pub(crate) mod kept;
pub(crate) mod node;
pub(crate) mod place;
pub(crate) mod replaced;
pub(crate) mod roots;
pub(crate) mod slot;
pub(crate) mod version;
pub(crate) mod worker;
