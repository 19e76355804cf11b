//! The tree that every stage works on: its two roots, its open directories, one name with what is known about it.
//! Values and handles; makes no decision, and changes nothing on the volume except for creating a directory.

pub(crate) mod entry;
pub(crate) mod kept;
pub(crate) mod node;
pub(crate) mod place;
pub(crate) mod replaced;
pub(crate) mod roots;
pub(crate) mod slot;
pub(crate) mod version;
pub(crate) mod worker;
