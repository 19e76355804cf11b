//! One attempt from beginning to end.

pub(crate) mod hook;
pub(crate) mod machines;
pub(crate) mod said;
