//! What is to become of each entry: the source, the records of earlier copies and the volume are compared, and the table in
//! `decide` is asked.

pub(in crate::copy) mod compare;
pub(in crate::copy) mod decide;
pub(in crate::copy) mod directory;
pub(in crate::copy) mod entry;
pub(in crate::copy) mod filter;
pub(in crate::copy) mod layers;
pub(in crate::copy) mod links;
pub(in crate::copy) mod settle;
pub(in crate::copy) mod source_file;
pub(in crate::copy) mod spelling;
pub(in crate::copy) mod stat_cache;
pub(in crate::copy) mod unread;
pub(in crate::copy) mod walk;
