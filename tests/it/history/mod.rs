//! Reading back.

pub(crate) mod diff;
pub(crate) mod follow;
pub(crate) mod reading;
pub(crate) mod shards;
pub(crate) mod table;
