//! The program. On Linux it is the library; on other systems `off_linux/`, the commands that read and check.

#[cfg_attr(target_os = "linux", path = "main/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "off_linux/mod.rs")]
mod program;

// On other systems, the rooms are in it and are found as `crate::…`.
#[allow(clippy::wildcard_imports)]
use program::*;

fn main() -> std::process::ExitCode {
    run()
}
