//! Removes what the source no longer has.

pub(crate) mod mirror;
pub(crate) mod owned;
pub(crate) mod pruner;
pub(crate) mod run;
pub(crate) mod spellings;
