//! The copy, through the real program.

pub(crate) mod cold;
pub(crate) mod killed;
pub(crate) mod limits;
pub(crate) mod meanwhile;
pub(crate) mod names;
pub(crate) mod odd;
pub(crate) mod options;
pub(crate) mod own_run;
pub(crate) mod peers;
pub(crate) mod preserved;
pub(crate) mod restart;
pub(crate) mod shards;
pub(crate) mod single;
pub(crate) mod swapped;
pub(crate) mod verified;
pub(crate) mod volumes;
