//! The memory that every start uses, taken in one go: the kernel gives a page when it is first touched, and what
//! interrupts the program for each costs more than the page. May touch the stack and the heap; knows nothing of what
//! they are used for.

use std::ffi::c_void;

use rustix::mm::{Advice, madvise};

/// Bytes of the stack that a start uses, below the caller's: the definition of the command line above all.
const STACK: usize = 48 << 10;
/// Bytes of the heap that a start uses. One allocation, which the allocator then gives out in pieces.
const HEAP: usize = 68 << 10;
const PAGE: usize = 4096;

/// Takes them. To be called once, by the main thread, from a function that uses little stack itself.
pub fn take() {
    let here = 0_u8;
    let top = (&raw const here).addr() / PAGE * PAGE;
    populate(top - STACK, STACK);
    let heap = Vec::<u8>::with_capacity(HEAP);
    let start = heap.as_ptr().addr().next_multiple_of(PAGE);
    populate(start, HEAP - PAGE);
}

/// Kernels before 5.14 refuse, and those with larger pages may: then each page comes when it is touched.
fn populate(start: usize, bytes: usize) {
    // SAFETY: madvise(2) with MADV_POPULATE_WRITE changes nothing that is in memory and fails where there is none.
    let _ = unsafe { madvise(start as *mut c_void, bytes, Advice::LinuxPopulateWrite) };
}
