//! The program on Linux: everything but the allocator is in the library.

use std::alloc::{GlobalAlloc, Layout};

use nix::libc;

/// musl's allocator takes single pages from the kernel and returns them at once, which would be most of a short run's
/// time.
#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd(dlmalloc::GlobalDlmalloc);

/// Out of memory: prints a sentence and exits with 70. The default is SIGABRT, which a podFailurePolicy cannot tell
/// from the command's.
struct OrEnd(dlmalloc::GlobalDlmalloc);

// SAFETY: forwards each call to dlmalloc and returns its answer, or never returns.
unsafe impl GlobalAlloc for OrEnd {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same contract.
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
        // SAFETY: never returns, and allocates nothing.
        unsafe { libc::_exit(70) }
    }
    memory
}

pub use hook_runner::main as run;
