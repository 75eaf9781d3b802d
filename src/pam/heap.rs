//! The heap of this module. TOML, HTTP, TLS and JSON libraries keep copies of what passes through them, and what iVALT
//! answers may repeat token and key; none of them wipes. So every block is wiped when it is given back.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's heap, left clean. It serves our copy of Rust's library alone, not the host.
struct Wiping;

#[cfg(not(miri))]
#[global_allocator]
static HEAP: Wiping = Wiping;

/// In bytes. Nothing larger holds a secret: files that do are read up to 1 MiB. Wiping `users.toml` and what is made of
/// it would take time and, where a block was not written to its end, memory.
const LARGEST: usize = 2 << 20;

// SAFETY: every block is the system's own.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() <= LARGEST {
            // SAFETY: the block is the caller's to the last byte. Unlike an assignment to what is freed next,
            // explicit_bzero(3) is not optimised away.
            unsafe { libc::explicit_bzero(block.cast(), layout.size()) };
        }
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() > LARGEST {
            // SAFETY: as the caller promises.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller promises a size that is valid for the alignment. The new block does not overlap the old
        // one, which is given back only when there is a new one.
        unsafe {
            let grown = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !grown.is_null() {
                grown.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            grown
        }
    }
}
