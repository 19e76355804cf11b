//! The tee, through the real program.

pub(crate) mod blocked;
pub(crate) mod faults;
pub(crate) mod gaps;
pub(crate) mod hangs;
pub(crate) mod killed;
pub(crate) mod memory;
pub(crate) mod redact;
pub(crate) mod tee;
