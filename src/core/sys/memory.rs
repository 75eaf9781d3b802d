//! Memory for what grows with a file. The caller of su sets `RLIMIT_AS` and `RLIMIT_DATA`, and an allocation that fails
//! in a library aborts the application: so whatever may be large is tried first, and leaves enough for all the rest.

use std::alloc::{Layout, alloc_zeroed};
use std::collections::TryReserveError;
use std::ptr;

use zeroize::Zeroize;

use crate::problem::{Problem, ProblemKind};

/// More than a parser takes for whatever does not grow with the file.
const REST: usize = 2 << 20;
/// From this size on it is checked that the rest is there, so that small files, and the trusted roots of most systems,
/// cost no system call.
const LARGE: usize = 256 << 10;

/// It ran out.
#[derive(Debug)]
pub struct OutOfMemory;

impl From<TryReserveError> for OutOfMemory {
    fn from(_: TryReserveError) -> Self {
        Self
    }
}

impl From<OutOfMemory> for Problem {
    fn from(_: OutOfMemory) -> Self {
        let limits = [
            (libc::RLIMIT_AS, "RLIMIT_AS"),
            (libc::RLIMIT_DATA, "RLIMIT_DATA"),
        ];
        let limits = limits.map(|(limit, name)| match soft_limit(limit) {
            libc::RLIM_INFINITY => format!("{name} unlimited"),
            bytes => format!("{name} {} KiB", bytes >> 10),
        });
        let what = format!("out of memory ({})", limits.join(", "));
        Self::new(ProblemKind::Unreadable, what)
            .fix("raise the limit: ulimit -v, ulimit -d, or LimitAS=, LimitDATA= of the unit")
    }
}

/// Appends to `text`.
///
/// # Errors
/// There is no memory for it, or not enough would be left.
pub fn push_str(text: &mut String, piece: &str) -> Result<(), OutOfMemory> {
    if text.capacity() - text.len() < piece.len() {
        text.try_reserve(piece.len())?;
        check_rest(text.capacity())?;
    }
    text.push_str(piece);
    Ok(())
}

/// Appends to `list`.
///
/// # Errors
/// As [`push_str`].
pub fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), OutOfMemory> {
    if list.len() == list.capacity() {
        list.try_reserve(1)?;
        check_rest(list.capacity() * size_of::<T>())?;
    }
    list.push(item);
    Ok(())
}

/// A block of `size` bytes, all zero, as the kernel gives it: calloc(3) writes to no page of a large one.
///
/// # Errors
/// As [`push_str`].
pub fn zeroed(size: usize) -> Result<Vec<u8>, OutOfMemory> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let layout = Layout::array::<u8>(size).map_err(|_| OutOfMemory)?;
    // SAFETY: the size is not zero.
    let block = unsafe { alloc_zeroed(layout) };
    if block.is_null() {
        return Err(OutOfMemory);
    }
    // SAFETY: of the same allocator, with the layout of a vector of this capacity, and written to its end.
    let block = unsafe { Vec::from_raw_parts(block, size, size) };
    check_rest(size)?;
    Ok(block)
}

/// For code that does not try: whether it may take `bytes` at once. Less than half of the rest may be taken from it.
///
/// # Errors
/// As [`push_str`].
pub fn check(bytes: usize) -> Result<(), OutOfMemory> {
    if bytes < REST / 2 || can_map(bytes.saturating_add(REST)) {
        Ok(())
    } else {
        Err(OutOfMemory)
    }
}

/// Whether a block of `size` bytes, which has been allocated, leaves enough.
///
/// # Errors
/// It does not.
pub fn check_rest(size: usize) -> Result<(), OutOfMemory> {
    if size < LARGE || can_map(REST) {
        Ok(())
    } else {
        Err(OutOfMemory)
    }
}

/// Many small blocks, which are a large one together.
#[derive(Debug, Default)]
pub struct SmallBlocks(usize);

impl SmallBlocks {
    /// One more has been allocated.
    ///
    /// # Errors
    /// All of them do not leave enough.
    pub fn add(&mut self, size: usize) -> Result<(), OutOfMemory> {
        // malloc(3) takes 32 bytes for the smallest.
        self.0 += size + 32;
        if self.0 >= LARGE {
            check_rest(std::mem::take(&mut self.0))?;
        }
        Ok(())
    }
}

/// Writes over what the functions that the caller has called have left on the stack. Cryptographic libraries keep copies
/// of what they are given there.
#[inline(never)]
pub fn wipe_stack() {
    let mut unused = [0xff_u8; 64 << 10];
    unused.zeroize();
}

/// Maps and unmaps; `RLIMIT_AS` and `RLIMIT_DATA` count writable mappings whether they are touched or not.
#[must_use]
pub fn can_map(size: usize) -> bool {
    let (access, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping, of which no other code knows, is unmapped whole.
    unsafe {
        let mapping = libc::mmap(ptr::null_mut(), size, access, kind, -1, 0);
        mapping != libc::MAP_FAILED && libc::munmap(mapping, size) == 0
    }
}

pub(super) fn soft_limit(resource: libc::__rlimit_resource_t) -> libc::rlim_t {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: getrlimit(2) fills `limit`, or leaves it as it is.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    limit.rlim_cur
}

/// Of the `size` bytes below this frame.
#[cfg(test)]
pub fn is_on_the_stack(text: &[u8], size: usize) -> bool {
    use std::os::unix::fs::FileExt;
    let here = 0_u8;
    let mut below = vec![0; size];
    let start = (&raw const here).addr() - below.len();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut below, start as u64).unwrap();
    below.windows(text.len()).any(|part| part == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// Its frame ends with the text, 48 KiB below the caller's.
    #[inline(never)]
    fn leave(text: &[u8]) {
        let mut frame = [0_u8; 48 << 10];
        black_box(&mut frame)[..text.len()].copy_from_slice(text);
        black_box(&frame);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no such stack")]
    fn the_stack_is_wiped_far_down() {
        let text: Vec<u8> = (1..=16).map(|number| black_box(number) * 7).collect();
        let is_left = |wipe: fn()| {
            leave(&text);
            wipe();
            is_on_the_stack(&text, 60 << 10)
        };
        assert!(is_left(|| {}), "the test looks elsewhere");
        assert!(!is_left(wipe_stack));
    }

    #[test]
    fn nobody_has_all_the_memory() {
        assert_eq!((can_map(4 << 20), can_map(usize::MAX / 2)), (true, false));
        assert!(check(usize::MAX).is_err());
        assert!(check(1).is_ok());
    }

    #[test]
    fn what_is_appended_is_there() {
        let (mut text, mut list) = (String::new(), Vec::new());
        for number in 0..100_u64 {
            push_str(&mut text, "ab").unwrap();
            push(&mut list, number).unwrap();
        }
        assert_eq!((text.len(), list.len(), list[99]), (200, 100, 99));
    }

    #[test]
    fn a_block_is_zero_to_its_end_or_refused() {
        for size in [0, 1, 4096, LARGE] {
            let block = zeroed(size).unwrap();
            assert_eq!(
                (block.len(), block.iter().any(|byte| *byte != 0)),
                (size, false)
            );
        }
        assert!(zeroed(isize::MAX.unsigned_abs()).is_err());
        assert!(zeroed(usize::MAX).is_err());
    }
}
