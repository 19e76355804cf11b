//! Completes entries in staging. The only stage that reads content in order to copy it.

pub(crate) mod install;
pub(crate) mod large_file;
pub(crate) mod mend;
pub(crate) mod mend_directory;
pub(crate) mod new_file;
pub(crate) mod plan_lines;
pub(crate) mod source;
pub(crate) mod space;
pub(crate) mod stager;
pub(crate) mod staging;
pub(crate) mod writeback;
