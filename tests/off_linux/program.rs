//! The program as it is off Linux, built on Linux: `tests/off_linux/run` compares it with the program.

#[path = "../../src/off_linux/mod.rs"]
mod program;

// Off Linux the rooms are in it, and are found as `crate::…`.
#[allow(clippy::wildcard_imports)]
use program::*;

fn main() -> std::process::ExitCode {
    run()
}
