//! Making entries complete in staging: the only stage that reads content to copy it.

pub(in crate::copy) mod finish_directory;
pub(in crate::copy) mod node;
pub(in crate::copy) mod space;
pub(in crate::copy) mod stage_file;
pub(in crate::copy) mod staging;
