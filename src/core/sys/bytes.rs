//! Searches in memory by the C library, which knows the processor since the program was loaded. A crate that chooses among
//! its own asks again, by CPUID, which a virtual machine intercepts.

use std::ffi::c_void;

/// Where `byte` is first, as memchr(3).
#[must_use]
pub fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: reads no more than the bytes that are there.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    place(found, bytes)
}

/// Where `byte` is last, as memrchr(3).
#[must_use]
pub fn memrchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: as above.
    let found = unsafe { libc::memrchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    place(found, bytes)
}

/// Where `part` is first, as memmem(3).
#[must_use]
pub fn memmem(bytes: &[u8], part: &[u8]) -> Option<usize> {
    let (at, size) = (part.as_ptr().cast(), part.len());
    // SAFETY: as above, of both.
    let found = unsafe { libc::memmem(bytes.as_ptr().cast(), bytes.len(), at, size) };
    place(found, bytes)
}

/// `found` is NULL, or within `bytes`.
fn place(found: *mut c_void, bytes: &[u8]) -> Option<usize> {
    found.addr().checked_sub(bytes.as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_is_found_first_last_or_not() {
        let text = b"abcabc";
        for from in 0..=text.len() {
            for to in from..=text.len() {
                let part = &text[from..to];
                for byte in *b"abcd" {
                    assert_eq!(memchr(byte, part), part.iter().position(|one| *one == byte));
                    assert_eq!(
                        memrchr(byte, part),
                        part.iter().rposition(|one| *one == byte)
                    );
                }
                for wanted in [b"bc".as_slice(), b"abcabc", b"ba", b"c"] {
                    let first = part.windows(wanted.len()).position(|one| one == wanted);
                    assert_eq!(memmem(part, wanted), first);
                }
            }
        }
    }
}
