//! What copies are about to do, made durable before they do it, so that the next copy can tell their changes from a
//! user's.

pub(crate) mod carried;
pub(crate) mod ledger;
pub(crate) mod moved;
pub(crate) mod noted;
pub(crate) mod read;
