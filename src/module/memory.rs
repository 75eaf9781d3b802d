//! Whether the process has the memory a call needs. The caller of su sets its limits (setrlimit(2)), and what cannot
//! be allocated in the middle of a call aborts the application, as a stack that cannot grow kills it.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::{mem, ptr};

use ivalt_core::sys::memory::can_map;

/// More than a call takes at its peak, the thread that connects included, beside `users.toml`, which asks for its own.
const MEMORY: usize = 4 << 20;
/// More than the deepest frame of a call, the C library's name look-up included, is below its first.
const STACK: usize = 256 << 10;

/// # Errors
/// In words for the log.
pub fn for_a_call() -> Result<(), String> {
    let limit = stack_limit();
    let ample = limit >= 4 * STACK && is_on_first_stack(3 * STACK);
    if limit < STACK || (!ample && stack_left().is_some_and(|left| left < STACK)) {
        return Err(format!(
            "out of memory: less than {} KiB of stack",
            STACK >> 10
        ));
    }
    if !can_map(MEMORY) {
        return Err(format!("out of memory: less than {} MiB", MEMORY >> 20));
    }
    Ok(())
}

/// glibc's answer below is wrong where the limit is less than the environment takes; and a thread's stack is no larger.
fn stack_limit() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: getrlimit(2) fills `limit`, or leaves it as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) };
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// Whether the caller is within so many bytes of where the process's first stack begins. Below those there is nothing
/// else: Linux leaves 128 MiB for that stack, which may grow to the limit.
fn is_on_first_stack(most: usize) -> bool {
    let here = 0_u8;
    // SAFETY: getauxval(3) only looks the number up; the kernel puts AT_RANDOM's bytes above the first frame.
    let begin = unsafe { libc::getauxval(libc::AT_RANDOM) };
    let begin = usize::try_from(begin).unwrap_or(0);
    begin
        .checked_sub((&raw const here).addr())
        .is_some_and(|used| used <= most)
}

/// Bytes between here and the lowest address that the calling thread's stack may grow to. `None` where glibc cannot
/// tell: for the first thread it reads `/proc/self/maps`.
fn stack_left() -> Option<usize> {
    let here = 0_u8;
    let (mut lowest, mut size): (*mut c_void, usize) = (ptr::null_mut(), 0);
    // SAFETY: pthread_getattr_np(3) initialises the attributes if it succeeds, and then they are destroyed.
    unsafe {
        let mut attributes: libc::pthread_attr_t = mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            return None;
        }
        let code =
            libc::pthread_attr_getstack(&raw const attributes, &raw mut lowest, &raw mut size);
        libc::pthread_attr_destroy(&raw mut attributes);
        (code == 0).then(|| (&raw const here).addr().saturating_sub(lowest.addr()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_small_stack_is_measured() {
        let left = |size| {
            let small = thread::Builder::new().stack_size(size);
            small.spawn(stack_left).unwrap().join().unwrap().unwrap()
        };
        // glibc may hand out an old stack of up to four times the size.
        assert!(left(STACK / 8) < STACK);
        assert!(left(2 * STACK) >= STACK);
        assert!(stack_left().is_some_and(|left| left > STACK));
    }

    #[test]
    fn another_thread_is_not_on_the_first_stack() {
        let other = thread::spawn(|| is_on_first_stack(3 * STACK));
        assert!(!other.join().unwrap());
        assert!(is_on_first_stack(usize::MAX));
    }
}
