//! What copies are about to do, on stable storage before they do it, so that the next one can tell their doing from a
//! user's.

pub(crate) mod carried;
pub(crate) mod ledger;
pub(crate) mod moved;
pub(crate) mod noted;
pub(crate) mod read;
