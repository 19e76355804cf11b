//! System calls and what they need: names, listings, transfers, metadata, threads. Makes no decisions.

pub(crate) mod durable;
pub(crate) mod handles;
pub(crate) mod lacks;
pub(crate) mod listing;
pub(crate) mod metadata;
pub(crate) mod mount;
pub(crate) mod path;
pub(crate) mod pool;
pub(crate) mod readahead;
pub(crate) mod sight;
pub(crate) mod transfer;
pub(crate) mod xattrs;
