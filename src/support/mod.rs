//! What many rooms need and no crate has.

pub(crate) mod blocking;
pub mod rooted_dir;
