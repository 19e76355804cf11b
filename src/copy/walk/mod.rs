//! The main phase: goes through the source, asks `plan` what is to become of each entry, and has `stage` make it complete.
//! Directories are tasks; files are dealt with on the spot. Nothing gets its final name here but pieces of a shared tree.

pub(crate) mod blocks;
pub(crate) mod context;
pub(crate) mod deferred;
pub(crate) mod directory;
pub(crate) mod directory_task;
pub(crate) mod dropped;
pub(crate) mod entry;
pub(crate) mod file;
pub(crate) mod finish;
pub(crate) mod hard_links;
pub(crate) mod queue;
pub(crate) mod respelled;
pub(crate) mod settle;
pub(crate) mod symlink;
