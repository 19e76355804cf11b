//! System calls and what goes along with them: names, listings, transfers, metadata, threads. Decides nothing.

pub(in crate::copy) mod durable;
pub(in crate::copy) mod lacks;
pub(in crate::copy) mod listing;
pub(in crate::copy) mod metadata;
pub(in crate::copy) mod path;
pub(in crate::copy) mod pool;
pub(in crate::copy) mod readahead;
pub(in crate::copy) mod transfer;
