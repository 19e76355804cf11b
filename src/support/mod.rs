//! What many rooms need and no crate has.

pub(crate) mod blocking;
pub(crate) mod durations;
pub(crate) mod mutex;
pub mod rooted_dir;
pub(crate) mod signal_mask;
pub(crate) mod times;
