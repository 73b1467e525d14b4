//! Memory of the kernel, as the core's allocator.

use core::alloc::{GlobalAlloc, Layout};

unsafe extern "C" {
    /// Wired memory, or null. `alignment` is a power of two (IOLib.h).
    fn IOMallocAligned(size: usize, alignment: usize) -> *mut u8;
    /// Gives it back; `size` is that of the allocation.
    fn IOFreeAligned(address: *mut u8, size: usize);
}

struct Kernel;

// SAFETY: memory of IOMallocAligned is nobody else's until IOFreeAligned, and aligned as asked.
unsafe impl GlobalAlloc for Kernel {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: a layout's size is not 0 here (the trait's contract), its alignment a power of two.
        unsafe { IOMallocAligned(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the trait's contract: it came from `alloc` with this layout.
        unsafe { IOFreeAligned(address, layout.size()) }
    }
}

#[global_allocator]
static KERNEL: Kernel = Kernel;
