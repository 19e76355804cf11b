//! What many rooms need. `os`, `rooted_dir`, `small_file` and `leave` use only the standard library.

#[path = "../support/cause.rs"]
pub mod cause;
#[path = "../support/color.rs"]
pub mod color;
#[path = "../support/durations.rs"]
pub mod durations;
#[path = "../support/harmless.rs"]
pub mod harmless;
#[path = "../support/keywords.rs"]
pub mod keywords;
#[path = "../support/log_end.rs"]
pub mod log_end;
#[path = "../support/nearest.rs"]
pub mod nearest;
#[path = "os.rs"]
pub mod os;
#[path = "../support/own.rs"]
pub mod own;
#[path = "../support/raw_path.rs"]
pub mod raw_path;
#[path = "../support/real_path.rs"]
pub mod real_path;
#[path = "rooted_dir.rs"]
pub mod rooted_dir;
#[path = "../support/sizes.rs"]
pub mod sizes;
#[path = "small_file.rs"]
pub mod small_file;
#[path = "../support/times.rs"]
pub mod times;

/// The default name of a preserved log.
pub const LOG_NAME: &str = "post-hook-output.txt";

pub mod leave {
    /// Ends the process.
    pub fn leave(status: u8) -> ! {
        std::process::exit(status.into())
    }
}
