//! Decides about each entry: compares the source, the records of earlier copies and the volume, and looks up the table
//! in `decide`. Reads the source and the volume; changes nothing.

pub(crate) mod compare;
pub(crate) mod decide;
pub(crate) mod emptied;
pub(crate) mod filter;
pub(crate) mod in_the_way;
pub(crate) mod installed;
pub(crate) mod judge;
pub(crate) mod known;
pub(crate) mod layers;
pub(crate) mod protected;
pub(crate) mod scope;
pub(crate) mod source_version;
pub(crate) mod spelling;
pub(crate) mod stat_cache;
pub(crate) mod unread;
