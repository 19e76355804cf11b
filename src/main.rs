//! The program: everything is in the library.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "hook-runner runs in Linux containers; for this system build the plugin: cargo build --features plugin --bin kubectl-hook_log"
);

use std::process::ExitCode;

/// musl's allocator asks the kernel for each few pages and gives them back at once, which is most of what a short run
/// takes.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    hook_runner::main()
}
