//! The program: everything is in the library.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "hook-runner runs in Linux containers; for this system build the plugin: cargo build --features plugin --bin kubectl-hook_log"
);

use std::alloc::{GlobalAlloc, Layout};
use std::process::ExitCode;

use nix::libc;

/// musl's allocator asks the kernel for each few pages and gives them back at once, which is most of what a short run
/// takes.
#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd(dlmalloc::GlobalDlmalloc);

/// Where there is no memory, a sentence and 70. By default the process would abort, and a podFailurePolicy could not tell its
/// SIGABRT from a command's.
struct OrEnd(dlmalloc::GlobalDlmalloc);

// SAFETY: each call is handed on as it is; what it answers is returned, or nothing is.
unsafe impl GlobalAlloc for OrEnd {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that are asked for.
        or_end(unsafe { self.0.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { self.0.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        or_end(unsafe { self.0.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(memory, layout) }
    }
}

fn or_end(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        let said = b"hook-runner: there is no memory left; raise the limit of memory (ulimit -v, the pod's limits)\n";
        let _ = rustix::io::write(rustix::stdio::stderr(), said);
        // SAFETY: ends the process, and runs nothing of it that would ask for memory.
        unsafe { libc::_exit(70) }
    }
    memory
}

fn main() -> ExitCode {
    hook_runner::main()
}
