//! Reading back.

pub(crate) mod follow;
pub(crate) mod reading;
