//! What many rooms need and no crate has.

pub(crate) mod blocking;
pub mod cause;
pub(crate) mod color;
pub(crate) mod durations;
pub(crate) mod harmless;
pub(crate) mod keywords;
pub(crate) mod leave;
pub(crate) mod log_end;
pub(crate) mod mutex;
pub(crate) mod nearest;
pub mod observed;
pub(crate) mod os;
pub(crate) mod own;
pub(crate) mod raw_path;
pub(crate) mod real_path;
pub mod rooted_dir;
pub(crate) mod signal_mask;
pub(crate) mod sizes;
pub(crate) mod small_file;
pub(crate) mod times;

/// The default name of a preserved log.
pub const LOG_NAME: &str = "post-hook-output.txt";
