//! The files on the volume.

pub(crate) mod damage;
pub(crate) mod every_fault;
pub(crate) mod files;
pub(crate) mod histories;
pub(crate) mod power_cut;
pub(crate) mod refusals;
pub(crate) mod retention;
pub(crate) mod shared;
pub(crate) mod truth;
pub(crate) mod upgrade;
