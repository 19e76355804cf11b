//! Being PID 1.

pub(crate) mod memory;
pub(crate) mod signals;
pub(crate) mod start;
pub(crate) mod terminal;
pub(crate) mod time;
