//! The heap of this module. TOML, HTTP, TLS and JSON libraries keep copies of what passes through them, and what iVALT
//! answers may repeat token and key; none of them wipes. So every block is wiped when it is freed.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's heap, left clean. It serves our copy of Rust's library alone, not the application.
struct Wiping;

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
            // SAFETY: the block is the caller's to the last byte.
            unsafe { wipe(block, layout.size()) };
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
        // one, which is freed only when there is a new one.
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

/// # Safety
/// `size` bytes at `block` may be written.
unsafe fn wipe(block: *mut u8, size: usize) {
    // SAFETY: as promised. Unlike an assignment to what is freed next, explicit_bzero(3) is not optimised away; but
    // Miri does not know it.
    unsafe {
        if cfg!(miri) {
            block.write_bytes(0, size);
        } else {
            libc::explicit_bzero(block.cast(), size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_what_is_in_them_when_they_grow_and_shrink() {
        for sizes in [
            [16, 64, 8],
            [LARGEST, LARGEST + 1, LARGEST + 2],
            [LARGEST + 1, 100, 3],
        ] {
            let layout = |size| Layout::from_size_align(size, 8).unwrap();
            // SAFETY: no size is 0, and every block is used by its own layout, and freed once.
            unsafe {
                let mut block = HEAP.alloc(layout(sizes[0]));
                block.cast::<[u8; 3]>().write(*b"abc");
                for pair in sizes.windows(2) {
                    block = HEAP.realloc(block, layout(pair[0]), pair[1]);
                    assert_eq!(&block.cast::<[u8; 3]>().read(), b"abc");
                }
                HEAP.dealloc(block, layout(sizes[2]));
            }
        }
    }
}
