//! The main phase: walks the source, asks `plan` about each entry, and has `stage` complete it. Directories are tasks;
//! files are handled at once. Nothing gets its final name here, except for pieces of a shared tree.

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
