//! What the command line says.

pub(crate) mod completions;
pub(crate) mod help;
mod installed;
pub(crate) mod man;
pub(crate) mod readme;
pub(crate) mod schema;
pub(crate) mod usage;
mod values;
