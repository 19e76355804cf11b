//! What the command line says.

pub(crate) mod help;
pub(crate) mod readme;
