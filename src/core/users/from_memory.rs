//! The way of a large file, with a file in memory and a window of any size: for tests and fuzzing alone.

use super::{Entry, entry_in_kept, prefilter, window};
use crate::settings::MobileFormat;

/// What the prefilter keeps of `file`, if a window of `size` bytes is enough to tell. Reads return `piece` bytes at most.
#[must_use]
pub fn filter(file: &[u8], wanted: &str, size: usize, piece: usize) -> Option<String> {
    let read_at = |buffer: &mut [u8], at: u64| {
        let rest = file.get(usize::try_from(at).unwrap_or(usize::MAX)..);
        let rest = rest.unwrap_or_default();
        let read = rest.len().min(buffer.len()).min(piece);
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    };
    window::filter(read_at, size, |name| {
        prefilter::concerns(name, wanted.as_bytes())
    })
}

/// The entry, if a window of `size` bytes is enough to tell.
#[must_use]
pub fn entry(file: &[u8], name: &[u8], format: MobileFormat, size: usize) -> Option<Entry> {
    let wanted = std::str::from_utf8(name).ok()?;
    let kept = filter(file, wanted, size, usize::MAX)?;
    entry_in_kept(&kept, wanted, format)
}
