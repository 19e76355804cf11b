//! Reading back.

pub(crate) mod reading;
